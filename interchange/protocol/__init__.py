"""What both ends of the Open Inference Protocol share: its datatypes and tensors as bytes, and how an error is told."""

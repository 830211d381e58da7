"""What holds for every test."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported: the models are made here, nothing is downloaded

"""OpenTelemetry: a span for each request, below the client's where it sends a W3C ``traceparent``.

A span is made when its request was answered, from the times that are kept anyway: nothing is paid while it runs.
"""

from __future__ import annotations

import time
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from interchange.errors import UsageError
from interchange.protocol.errors import STATUS
from interchange.serving.observing import Exchange

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from interchange.serving.calls import Call


class Tracing:
    """Sends spans to a collector, in batches, from a thread of its own."""

    def __init__(self, endpoint: str | None, *, provider: TracerProvider | None = None) -> None:
        """endpoint: OTLP over HTTP.  provider: in place of one for the endpoint.

        Raises UsageError IX863 where OpenTelemetry is not installed.
        """
        try:
            from opentelemetry.trace import SpanKind, StatusCode
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError:
            raise _missing() from None
        self._provider = provider if provider is not None else _provider(endpoint)
        self._tracer = self._provider.get_tracer("interchange.serving")
        self._kind, self._error = SpanKind.SERVER, StatusCode.ERROR
        self._extract = TraceContextTextMapPropagator().extract

    def finished(self, exchange: Exchange) -> None:
        """Make the span of one answer. Attributes: OpenTelemetry's for HTTP and RPC, ours begin with interchange."""
        offset = time.time_ns() - perf_counter_ns()  # from the one clock to the other
        end = time.time_ns()
        parent = self._extract({"traceparent": exchange.traceparent}) if exchange.traceparent else None
        span: Any = self._tracer.start_span(
            f"{exchange.method} {exchange.path}" if exchange.protocol == "http" else exchange.path.lstrip("/"),
            context=parent,
            kind=self._kind,
            attributes=_attributes(exchange),
            start_time=offset + exchange.received,
        )
        for name, moment in _moments(exchange.call) if span.is_recording() else ():
            span.add_event(name, timestamp=offset + moment)
        if exchange.code is not None and STATUS.get(exchange.code, (400, ""))[0] >= 500:
            span.set_status(self._error, exchange.code)
        span.end(end_time=end)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def _attributes(exchange: Exchange) -> dict[str, Any]:
    grpc = exchange.protocol == "grpc"
    found: dict[str, Any] = {
        "client.address": exchange.client,
        "interchange.request_id": exchange.id,
        "interchange.received_bytes": exchange.received_bytes,
        "interchange.sent_bytes": exchange.sent_bytes,
    }
    if grpc:
        service, _, method = exchange.path.strip("/").rpartition("/")
        found |= {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        found["rpc.grpc.status_code"] = exchange.status
    else:
        found |= {"http.request.method": exchange.method, "url.path": exchange.path}
        found["http.response.status_code"] = exchange.status
    if exchange.model:
        found |= {"interchange.model": exchange.model, "interchange.version": exchange.version}
    if exchange.code is not None:
        found["error.type"] = exchange.code
    call = _last(exchange.call)
    if call is not None:
        found["interchange.rows"] = call.rows
        if call.batch is not None:
            found["interchange.batch_rows"] = call.batch.rows
    return found


def _last(call: Call | None) -> Call | None:
    """The call that was run in the place of one."""
    while call is not None and call.relay is not None:
        call = call.relay
    return call


def _moments(call: Call | None) -> list[tuple[str, int]]:
    """When a call was queued, when its run began, when the model was fed and when it had answered; perf_counter_ns."""
    call = _last(call)
    if call is None or not call.queued:
        return []
    found = [("queued", call.queued)]
    batch = call.batch
    if batch is not None:
        found += [("started", batch.started), ("computing", batch.started + batch.input_ns), ("computed", batch.done)]
    return found


def _provider(endpoint: str | None) -> TracerProvider:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise _missing() from None
    provider = TracerProvider(resource=Resource.create({"service.name": "interchange"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return provider


def _missing() -> UsageError:
    return UsageError(
        "IX863",
        "traces need OpenTelemetry, which is not installed",
        found="no opentelemetry-sdk with its OTLP exporter",
        expected="pip install 'interchange[otel]'",
        fix="install it, or leave otlp_endpoint out",
    )

"""From the device to pinned memory of the host, beside the model's own work."""

from __future__ import annotations

import torch


class Transfer:
    """Copies queued on a stream of their own; on a CPU there is nothing to do."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def to_host(self, x: torch.Tensor) -> torch.Tensor:
        """x as it is when the work queued so far is done. Valid once :meth:`done` of a later moment has passed."""
        if self._stream is None:
            return x
        host = torch.empty(x.shape, dtype=x.dtype, pin_memory=True)
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            host.copy_(x, non_blocking=True)
        x.record_stream(self._stream)
        return host

    def done(self) -> torch.cuda.Event | None:
        """An event that passes when every copy queued so far has arrived."""
        if self._stream is None:
            return None
        event = torch.cuda.Event()
        event.record(self._stream)
        return event

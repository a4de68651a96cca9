"""uvicorn's server with an end that kept-alive clients do not notice."""

from __future__ import annotations

import asyncio
import socket

import uvicorn

CLOSING_SECONDS = 1.0
"""Time in which a client that asks over and over on one connection sends its next request, and learns to close it."""


class ClosingServer(uvicorn.Server):
    """Says `Connection: close` in every answer for a while before it closes connections that ask nothing.

    uvicorn alone closes these at once, also those on which a request is under way, which is then lost.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connections, answer the others once more each, and then end as uvicorn does."""
        self.config.app.state.closing = True  # type: ignore[union-attr]  # FastAPI's; `Traffic` reads it
        for server in self.servers:
            server.close()
        for one in sockets or []:
            one.close()
        await asyncio.sleep(min(CLOSING_SECONDS, self.config.timeout_graceful_shutdown or 0))
        await super().shutdown(sockets)

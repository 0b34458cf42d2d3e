"""A TCP proxy before a server: it passes on, cuts off, falls silent, or loses one answer.

Silent, it still takes in what it is sent, as a middlebox does that has forgotten a connection: no
keepalive and no ``tcp_user_timeout`` notices.
"""

from __future__ import annotations

import re
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

__all__ = ["Proxy"]

_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Stands before the server of *conninfo*; `conninfo` leads through it.

    All sockets belong to one thread. What others want of it, they put in its mailbox.
    """

    def __init__(self, conninfo: str) -> None:
        given = conninfo_to_dict(conninfo)
        self._host, self._port = str(given.get("host")), int(str(given.get("port") or 5432))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._bell, self._hand = socket.socketpair()
        self._mail: list[Callable[[], None]] = []  # in order; each step on it is atomic
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._bell, selectors.EVENT_READ)
        # The thread's own:
        self._peers: dict[socket.socket, socket.socket] = {}
        self._clients: set[socket.socket] = set()
        self._up, self._down = True, True
        self._hurt: set[socket.socket] = set()  # clients of whose talk something is lost
        self._deaf: set[socket.socket] = set()  # clients that get no answer any more
        self._wanted: dict[bool, bytes] = {}  # patterns, by whether they are looked for upwards
        self._running = True
        self.lost = threading.Event()
        """Whether an answer was lost since `lose_answer`."""
        port = self._listener.getsockname()[1]
        plain = {"sslmode": "disable", "gssencmode": "disable"}
        self.conninfo = make_conninfo(conninfo, host="127.0.0.1", port=port, **plain)
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    # -- for the test ------------------------------------------------------------------------------

    def cut(self) -> None:
        """Reset all connections."""
        self._do(lambda: self._reset(set(self._clients)))

    def silence(self, *, up: bool = True, down: bool = True) -> None:
        """Take everything in and pass nothing on: to the server, from the server, or both."""
        self._do(lambda: self._set(not up, not down))

    def heal(self) -> None:
        """Pass everything on again; connections of which something is lost are reset."""
        self._do(self._heal)

    def lose_answer(self, *, request: bytes = b"", answer: bytes = b"") -> None:
        """Keep back the answer to the next message with *request*, or the next with *answer*.

        Both are patterns. That connection gets no other answer either.
        """
        self.lost.clear()
        self._do(lambda: self._want(request, answer))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._do(self._end)
        self._thread.join(10)
        self._selector.close()
        for end in (self._listener, self._bell, self._hand):
            end.close()

    def _do(self, deed: Callable[[], None]) -> None:
        done = threading.Event()
        self._mail += [deed, done.set]
        self._hand.send(b"!")
        assert done.wait(10), "the proxy hangs"

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._running:
            for key, _ in self._selector.select():
                end = key.fileobj
                assert isinstance(end, socket.socket)
                if end is self._bell:
                    end.recv(4096)
                    while self._mail:
                        self._mail.pop(0)()
                elif end is self._listener:
                    self._accept()
                elif end in self._peers:
                    self._pump(end)
        self._reset(set(self._clients))

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = self._dial()
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()
            return
        self._clients.add(client)
        for one, other in ((client, server), (server, client)):
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _dial(self) -> socket.socket:
        if not self._host.startswith("/"):
            return socket.create_connection((self._host, self._port))
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(f"{self._host}/.s.PGSQL.{self._port}")
        except OSError:
            server.close()
            raise
        return server

    def _pump(self, source: socket.socket) -> None:
        target = self._peers[source]
        try:
            talk = source.recv(1 << 16)
        except OSError:
            talk = b""
        client = source if source in self._clients else target
        if not talk:
            self._reset({client})
        elif self._passes(source is client, client, talk):
            with suppress(OSError):  # its own end says so
                target.sendall(talk)
        else:
            self._hurt.add(client)

    def _passes(self, up: bool, client: socket.socket, talk: bytes) -> bool:
        if up in self._wanted and re.search(self._wanted[up], talk, re.DOTALL):
            self._wanted.clear()
            self._deaf.add(client)
        if up:
            return self._up
        if client in self._deaf:
            self.lost.set()
        return self._down and client not in self._deaf

    def _set(self, up: bool, down: bool) -> None:
        self._up, self._down = up, down

    def _want(self, request: bytes, answer: bytes) -> None:
        self._wanted = {up: some for up, some in ((True, request), (False, answer)) if some}

    def _heal(self) -> None:
        self._set(True, True)
        self._reset(self._hurt | self._deaf)

    def _end(self) -> None:
        self._running = False

    def _reset(self, clients: set[socket.socket]) -> None:
        for client in list(clients & self._clients):
            self._clients.discard(client)
            self._hurt.discard(client)
            self._deaf.discard(client)
            for end in (client, self._peers[client]):
                del self._peers[end]
                self._selector.unregister(end)
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.close()

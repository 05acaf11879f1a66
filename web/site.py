"""What all requests share: the server, the renderer, and what the frame of each page shows."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from faktory_tw.server import Server
from faktory_tw.wire import CommandError

from .answers import Refusal
from .content.bulk import Operations
from .gate.audit import Audit
from .gate.forgery import Tokens
from .look import languages

if TYPE_CHECKING:
    from .look.rendering import Renderer
    from .visit import Visit

Coiterate = Callable[[Iterator[Any]], "Deferred[Any]"]
InThread = Callable[[Callable[[], Any]], "Deferred[Any]"]

_MOST_NOTICES = 200
_SUMMARY_SECONDS = 1.0


class WebUI:
    """``coiterate`` goes through an iterator, some of it in each turn of the reactor, and then fires a Deferred.

    ``search`` is another of the same, for what may take a second. ``in_thread`` calls a function in a thread, and fires with what it returned.
    """

    def __init__(
        self, server: Server, coiterate: Coiterate, search: Coiterate, in_thread: InThread, log: Logger
    ) -> None:
        self.server = server
        self.coiterate = coiterate
        self.search = search
        self.log = log
        self.tokens = Tokens()
        self.audit = Audit(log)
        self.operations = Operations(self)
        self._in_thread = in_thread
        self._renderer: Renderer | None = None
        self._languages: dict[str, languages.Language] = {}
        self._notices: OrderedDict[str, tuple[str, bool]] = OrderedDict()
        self._enqueued = (0, float("-inf"))  # and when that was counted

    async def renderer(self) -> Renderer:
        """The renderer, loaded now if this is the first page."""
        if self._renderer is None:
            self._renderer = await self._in_thread(make_renderer)
        return self._renderer

    async def speak(self, visit: Visit) -> None:
        """Give a visit the language that its browser asks for, loaded now if it is the first in that language."""
        visit.language_choice = languages.choose(visit.cookie(languages.COOKIE), visit.header("Accept-Language"))
        code = visit.language_choice.code
        if code not in self._languages:
            self._languages[code] = await self._in_thread(lambda: languages.load(code))
        visit.language = self._languages[code]

    async def load(self, work: Callable[[], Any]) -> Any:
        """Do what takes long and touches nothing of ours in a thread."""
        return await self._in_thread(work)

    # -- changes -------------------------------------------------------------------------------------------------

    def change(self, steps: Iterator[None]) -> Deferred[None]:
        """Carry out a change in slices; when the Deferred fires it is not yet on disk."""
        done: Deferred[None] = Deferred()

        def finish(refusal: CommandError | None) -> None:
            if refusal is None:
                done.callback(None)
            else:
                done.errback(refusal)

        self.server.run_in_slices(steps, finish)
        return done

    def written(self) -> Deferred[None]:
        """Fires when the changes made so far are on disk; never, if the store fails before."""
        done: Deferred[None] = Deferred()
        self.server.when_written(lambda: done.callback(None))
        return done

    def carry_out(self, work: Coroutine[Any, Any, None]) -> Deferred[None]:
        """Do something to its end, also when nobody waits any more for the Deferred that tells of it."""
        done: Deferred[None] = Deferred()

        def finish(result: Failure | None) -> None:
            if done.called and result is not None and not result.check(CommandError, Refusal):
                self.log.failure("A change failed that nobody waited for", result)
            done.callback(result)  # a Deferred that was cancelled says no more

        ensureDeferred(work).addBoth(finish)
        return done

    # -- the frame of a page -------------------------------------------------------------------------------------

    def leave_notice(self, text: str, failed: bool) -> str:
        """Keep a text for the page that follows; returns the name under which it asks for it."""
        name = secrets.token_urlsafe(9)
        self._notices[name] = (text, failed)
        while len(self._notices) > _MOST_NOTICES:
            self._notices.popitem(last=False)
        return name

    def take_notice(self, name: str) -> tuple[str, bool] | None:
        """The text, once."""
        return self._notices.pop(name, None)

    async def summary(self, visit: Visit) -> dict[str, int]:
        """The numbers that each page shows above."""
        manager = self.server.manager
        now = self.server.clock.monotonic()
        if now - self._enqueued[1] >= _SUMMARY_SECONDS:
            enqueued = [0]

            def count() -> Iterator[None]:
                for sizes in manager.views.queue_sizes():
                    enqueued[0] += sum(sizes.values())
                    yield

            await visit.run(count())
            self._enqueued = (enqueued[0], now)
        sets = manager.set_sizes()
        return {
            "processed": manager.history.processed,
            "failed": manager.history.failures,
            "busy": sets["working"],
            "enqueued": self._enqueued[0],
            "retries": sets["retries"],
            "scheduled": sets["scheduled"],
            "dead": sets["dead"],
        }


def make_renderer() -> Renderer:
    """Load what pages need. To be called in a thread."""
    from .look.rendering import Renderer  # noqa: PLC0415 - its libraries are large, and many servers show no page

    return Renderer()

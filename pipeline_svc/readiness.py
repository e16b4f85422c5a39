"""The service takes work when its recipes are known to be doable, and not before."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from imaging.errors import FailedPrecondition, ImagingError, Unavailable
from pipeline_svc.recipes.book import RecipeBook
from pipeline_svc.recipes.check import Capabilities, check_recipes

_log = logging.getLogger(__name__)


class Readiness:
    """Whether the recipes were checked, and what is wrong with them.

    The services may start in any order: those that do not answer yet are asked again. A recipe that asks for what they
    cannot do keeps the service from taking work, with the reason in its log and in its answers; it is checked again now
    and then, for a service may come back with the missing model.
    """

    def __init__(
        self,
        book: RecipeBook,
        ask: Callable[[], Awaitable[Capabilities]],
        *,
        ask_again_after: timedelta = timedelta(seconds=1),
        check_again_after: timedelta = timedelta(seconds=10),
    ) -> None:
        self._book = book
        self._ask = ask
        self._ask_again_after_s = ask_again_after.total_seconds()
        self._check_again_after_s = check_again_after.total_seconds()
        self._problem: ImagingError | None = Unavailable(
            "The recipes have not been checked yet",
            where="pipeline",
            hint="Try again when processing, analysis and reporting have started.",
        )

    def require(self) -> None:
        """Nothing, if the service takes work.

        Raises
        ------
        Unavailable
            If the other services do not answer yet.
        FailedPrecondition
            If a recipe asks for what they cannot do.
        """
        if self._problem is not None:
            raise self._problem

    async def wait(self) -> None:
        """Come back when all recipes can be done."""
        while True:
            try:
                capabilities = await self._ask()
            except ImagingError as error:
                self._tell(
                    Unavailable(f"The recipes cannot be checked yet: {error.what}", where=error.where, hint=error.hint),
                    logging.INFO,
                )
                await asyncio.sleep(self._ask_again_after_s)
                continue
            try:
                check_recipes(self._book, capabilities)
            except ImagingError as error:
                self._tell(FailedPrecondition(error.what, where=error.where, hint=error.hint), logging.ERROR)
                await asyncio.sleep(self._check_again_after_s)
                continue
            self._problem = None
            return

    def _tell(self, problem: ImagingError, level: int) -> None:
        if self._problem is None or self._problem.text != problem.text:
            _log.log(level, "not taking work", extra={"error": problem.text})
        self._problem = problem

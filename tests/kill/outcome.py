"""What a kill test saw, as counts for programs and as a page for people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import median

from imaging.settings import SERVICE_NAMES
from tests.kill.history import History
from tests.kill.invariants import State


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the test saw."""

    history: History
    state: State
    broken: list[str]
    """Every violation, as a sentence."""

    def counts(self) -> dict[str, object]:
        """Counts, for programs."""
        told = Counter(entry.told for entry in self.history.uploads)
        return {
            "uploads_acknowledged": told["stored"],
            "uploads_failed": told["failed"],
            "upload_errors": dict(Counter(entry.error for entry in self.history.uploads if entry.error)),
            "manifests": len(self.history.completions),
            "runs": len(self.state.runs),
            "stage_calls_repeated": sum(stage.attempts - 1 for run in self.state.runs for stage in run.stages),
            "derived_instances": sum(1 for item in self.state.instances if item.origin.run),
            "findings": len(self.state.findings),
            "reports": len(self.state.reports),
            "services": {
                service: {
                    "kills": sum(1 for _, name in self.history.kills if name == service),
                    "recovery_seconds": [round(seconds, 1) for seconds in self._recoveries(service)],
                    "peak_mib": self.history.peak_bytes.get(service, 0) // 1024**2,
                }
                for service in (*SERVICE_NAMES, *self._servers())
            },
            "violations": self.broken,
        }

    def page(self) -> str:
        """A page for people."""
        counts = self.counts()
        errors = ", ".join(f"{count} {reason}" for reason, count in dict(counts["upload_errors"]).items())  # type: ignore[call-overload]  # a dict, as made above
        lines = [
            f"uploads     {counts['uploads_acknowledged']} acknowledged, {counts['uploads_failed']} failed and were"
            f" sent again{f' ({errors})' if errors else ''}",
            f"studies     {counts['manifests']} complete manifests, {counts['runs']} runs,"
            f" {counts['stage_calls_repeated']} calls of stages repeated",
            f"effects     {counts['derived_instances']} derived instances, {counts['findings']} findings,"
            f" {counts['reports']} reports",
            "",
            f"{'service':<12}{'kills':>6}{'serving again after (median, worst)':>38}{'peak memory':>14}",
            *(self._line(service) for service in (*SERVICE_NAMES, *self._servers())),
            "",
            *(f"BROKEN      {sentence}" for sentence in self.broken),
            f"{len(self.broken)} violations" if self.broken else "every invariant holds",
        ]
        return "\n".join(lines) + "\n"

    def _line(self, service: str) -> str:
        kills = sum(1 for _, name in self.history.kills if name == service)
        times = self._recoveries(service)
        recovery = f"{median(times):.1f} s, {max(times):.1f} s" if times else "-"
        return f"{service:<12}{kills:>6}{recovery:>38}{self.history.peak_bytes.get(service, 0) // 1024**2:>10} MiB"

    def _servers(self) -> list[str]:
        """Servers that the services use and that were ended, too."""
        return sorted({name for _, name in self.history.kills} - {*SERVICE_NAMES})

    def _recoveries(self, service: str) -> list[float]:
        return [one.took_seconds for one in self.history.recoveries if one.service == service]

"""How many errors of GPUs are new since the last look: drivers tell totals, which begin anew with them."""

from dataclasses import dataclass, field

from agent.telemetry_protocol import GpuReading


@dataclass(frozen=True)
class NewErrors:
    """Of one GPU since the look before; None where it has no such counter."""

    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    xids: int | None = None


@dataclass
class ErrorCounts:
    """Remembers the totals of the look before. The first look is only where counting begins."""

    _totals: dict[tuple[str, str], int] = field(default_factory=dict)

    def news(self, reading: GpuReading) -> NewErrors:
        """What is new of this GPU; each look is taken in once."""
        xids = None if reading.xids is None else sum(seen.count for seen in reading.xids)
        return NewErrors(
            ecc_corrected=self._grown(reading.uuid, "ecc_corrected", reading.ecc_corrected),
            ecc_uncorrected=self._grown(reading.uuid, "ecc_uncorrected", reading.ecc_uncorrected),
            xids=self._grown(reading.uuid, "xids", xids),
        )

    def _grown(self, uuid: str, what: str, total: int | None) -> int | None:
        if total is None:
            return None
        before = self._totals.get((uuid, what), total)
        self._totals[uuid, what] = total
        return total - before if total >= before else total

"""What a run needs to raise alerts: the findings, and where alerts are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imaging.analysis.v1 import analysis_pb2, analysis_service_pb2
from imaging.rpc.status import domain_errors
from pipeline_svc.alerts.alert_table import AlertTable

if TYPE_CHECKING:
    from imaging.analysis.v1.analysis_service_pb2_grpc import AnalysisServiceAsyncStub


class RunAlerts:
    """The findings of runs, and the table of alerts."""

    def __init__(self, analysis: AnalysisServiceAsyncStub, table: AlertTable) -> None:
        self._analysis = analysis
        self.table = table

    async def findings(self, run: str) -> list[analysis_pb2.Finding]:
        """All findings of a run.

        Raises
        ------
        Unavailable
            If analysis does not answer.
        """
        found: list[analysis_pb2.Finding] = []
        request = analysis_service_pb2.ListFindingsRequest(run=run, page_size=1000)
        while True:
            with domain_errors("analysis"):
                page = await self._analysis.ListFindings(request)
            found += page.findings
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return found

"""Work that belongs to a request: a second call with the same request id attaches instead of doing it twice."""

from imaging.work.progress_report import Report
from imaging.work.request_work import RequestWork

__all__ = ["Report", "RequestWork"]

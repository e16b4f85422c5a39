"""The program `imaging`: the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys

from imaging.cli.exit_codes import ExitCode, exit_code_of
from imaging.errors import ImagingError, Internal, InvalidArgument, StorageFull


def main() -> None:
    """Run the command line; the process ends with one of `ExitCode`."""
    _open_closed_streams()
    as_json = "--json" in sys.argv
    debug = os.environ.get("IMAGING_DEBUG") == "1"
    try:
        # Imported here: it takes a while, in which Ctrl-C must end the program as it does later.
        from imaging.cli.commands import app

        app()
    except ImagingError as error:
        if debug:
            raise
        _tell(error, as_json=as_json)
        code = exit_code_of(error)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone, e.g. `head`. Python must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.OK
    except Exception as error:
        if debug:
            raise
        told = _as_domain_error(error)
        _tell(told, as_json=as_json)
        code = exit_code_of(told)
    sys.exit(int(code))


def _as_domain_error(error: Exception) -> ImagingError:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "the output"
        return StorageFull("There is no room left", where=where, hint="Free disk space, or write elsewhere.")
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        # Arguments that are no UTF-8 come with surrogates; paths may hold them, messages cannot.
        return InvalidArgument("An argument is not UTF-8 text", where="command line", hint="Write it in UTF-8.")
    return Internal(
        f"A defect of ours: {type(error).__name__}",
        hint="Run it again with IMAGING_DEBUG=1 for the details, and please report them.",
    )


def _tell(error: ImagingError, *, as_json: bool) -> None:
    from imaging.cli.output import print_error

    print_error(error, as_json=as_json)


def _open_closed_streams() -> None:
    """Give what was started without standard input, output or error (`>&-`) an empty one.

    Otherwise the next files and sockets get their numbers 0 to 2, where nobody expects them: libuv ends the process.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            file = os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)
            if file != number:
                os.dup2(file, number)
                os.close(file)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))

"""What goes wrong when objects are read and written, and how to tell one fault from another."""

from __future__ import annotations

import errno

from tasks.contract import InputRejected, Reason


class AlreadyExists(Exception):
    """Another writer published this object first."""


def not_found(uri: str) -> InputRejected:
    """The error for an object that is not there."""
    return InputRejected(
        "no such object",
        reason=Reason.NOT_FOUND,
        subject=uri,
        next_step="check the URI and the credentials' rights",
    )


def is_of_the_file(error: OSError) -> bool:
    """Whether an error speaks of the one file that was asked for, and will again: no rights, no such name possible."""
    return error.errno in (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR, errno.EILSEQ)


def is_forbidden(error: BaseException) -> bool:
    """Whether S3 refuses an object to these credentials."""
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    return isinstance(error, PermissionDeniedError | UnauthenticatedError)


def is_disk_full(error: BaseException) -> bool:
    """Whether an exception says that the disk or the quota is used up."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)

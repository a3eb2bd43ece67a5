"""The environment variables that programs started by contentops get: a list, and those that a person names.

Linters, git, and the hooks and helpers of git do not need the key, the password of the ledger, or the secrets of other
tools.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from contentops.api.trust import LEDGER, secret_variables

if TYPE_CHECKING:
    from collections.abc import Mapping

GIT_VARIABLES: Final = "CONTENTOPS_GIT_VARIABLES"
"""The variable that lists further variables for git."""
CHECK_VARIABLES: Final = "CONTENTOPS_CHECK_VARIABLES"
"""The variable that lists further variables for the programs of `checks.commands`."""

_EVERY: Final = frozenset(
    str.split(
        # Who and where one is, and how to speak.
        """PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TMPDIR TMP TEMP TERM COLORTERM COLUMNS LINES NO_COLOR
        FORCE_COLOR CLICOLOR CLICOLOR_FORCE CI GITHUB_ACTIONS GITLAB_CI LOCALE_ARCHIVE"""
        # Where programs find their parts.
        """ VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONUTF8 PYTHONIOENCODING NODE_PATH NODE_OPTIONS GEM_HOME GEM_PATH
        JAVA_HOME GOPATH"""
        # Windows.
        """ SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT OS USERNAME USERDOMAIN USERPROFILE HOMEDRIVE HOMEPATH APPDATA
        LOCALAPPDATA PROGRAMDATA ALLUSERSPROFILE PUBLIC PROGRAMFILES PROGRAMFILES(X86) PROGRAMW6432 COMMONPROGRAMFILES
        COMMONPROGRAMFILES(X86) COMMONPROGRAMW6432 NUMBER_OF_PROCESSORS COMPUTERNAME MSYSTEM MSYS"""
        # Which certificates to believe.
        """ SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS NIX_SSL_CERT_FILE"""
    )
)
_EVERY_BEGINNINGS: Final = ("LC_", "XDG_", "LD_", "DYLD_", "NSS_WRAPPER_", "PROCESSOR_")
_GIT: Final = frozenset(
    str.split(
        # How git logs in, and through which proxy.
        """SSH_AUTH_SOCK SSH_AGENT_PID SSH_ASKPASS SSH_ASKPASS_REQUIRE SSH_CLIENT SSH_CONNECTION SSH_TTY DISPLAY
        WAYLAND_DISPLAY DBUS_SESSION_BUS_ADDRESS KRB5CCNAME KRB5_CONFIG PLINK_PROTOCOL HTTP_PROXY HTTPS_PROXY ALL_PROXY
        NO_PROXY GITHUB_TOKEN GH_TOKEN GH_HOST GH_ENTERPRISE_TOKEN GH_CONFIG_DIR GITLAB_TOKEN CI_JOB_TOKEN"""
        # Who commits and signs; who asked for root's rights, which git compares with the owner of a clone.
        """ EMAIL GNUPGHOME GPG_TTY GPG_AGENT_INFO SUDO_UID"""
    )
)
_GIT_BEGINNINGS: Final = (*_EVERY_BEGINNINGS, "GIT_", "GCM_")


def check_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that the programs of `checks.commands` get."""
    return _allowed(environ, _EVERY, _EVERY_BEGINNINGS, CHECK_VARIABLES)


def git_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that git gets: also what it logs in to its own server with."""
    return _allowed(environ, _EVERY | _GIT, _GIT_BEGINNINGS, GIT_VARIABLES)


def _allowed(
    environ: Mapping[str, str], names: frozenset[str], beginnings: tuple[str, ...], more: str
) -> dict[str, str]:
    named = frozenset(filter(None, re.split(r"[\s,]+", environ.get(more, ""))))
    hidden = secret_variables(environ) | {LEDGER}
    return {
        name: value
        for name, value in environ.items()
        if name not in hidden and (name in named or name.upper() in names or name.upper().startswith(beginnings))
    }

"""Files over SFTP as fsspec has them, from hosts that are known: fsspec itself takes any host's key."""

from __future__ import annotations

from typing import Any

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

from offdecode.errors import SourceError


def known_host(url: str) -> tuple[SFTPFileSystem, str]:
    """A connection of its own to the host of a URL, and the path there."""
    options = KnownHostsSFTP._get_kwargs_from_urls(url)
    return KnownHostsSFTP(**options, skip_instance_cache=True), KnownHostsSFTP._strip_protocol(url)


class KnownHostsSFTP(SFTPFileSystem):  # type: ignore[misc]
    """The keys of hosts are those of ssh: ~/.ssh/known_hosts. Users' keys are found as paramiko does, by agent or file.

    Raises SourceError for a host that is not known or has another key, PermissionError where it lets nobody in.
    """

    patience_seconds = 30

    def _connect(self) -> None:
        self.client = paramiko.SSHClient()
        self.client.load_system_host_keys()
        self.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        waits = dict.fromkeys(("timeout", "banner_timeout", "auth_timeout"), self.patience_seconds)
        options: dict[str, Any] = {**waits, **self.ssh_kwargs}
        try:
            self.client.connect(self.host, **options)
        except paramiko.AuthenticationException:
            raise PermissionError from None
        except paramiko.BadHostKeyException:
            raise SourceError(f"sftp://{self.host}", "its host key is not the one in known_hosts") from None
        except paramiko.SSHException as error:
            if "not found in known_hosts" in str(error):
                reason = "its host key is not in ~/.ssh/known_hosts (connect once with ssh)"
                raise SourceError(f"sftp://{self.host}", reason) from None
            if "authentication" in str(error).lower():  # there is no key to try
                raise PermissionError from None
            raise
        self.ftp = self.client.open_sftp()
        self.ftp.get_channel().settimeout(self.patience_seconds)

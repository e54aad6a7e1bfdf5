"""Files over SFTP as fsspec has them, from hosts that are known: fsspec itself takes any host's key."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

from offdecode.errors import SourceError


def known_host(url: str, process: int) -> tuple[KnownHostsSFTP, str]:
    """A process's connection to the host of a URL, made again where it broke, and the path there."""
    options = KnownHostsSFTP._get_kwargs_from_urls(url)
    found = _connection(process, **options)
    if not found.is_alive:
        _connection.cache_clear()
        found = _connection(process, **options)
    return found, KnownHostsSFTP._strip_protocol(url)


@lru_cache
def _connection(process: int, **options: Any) -> KnownHostsSFTP:
    return KnownHostsSFTP(**options, skip_instance_cache=True)


class KnownHostsSFTP(SFTPFileSystem):  # type: ignore[misc]
    """The keys of hosts are those of ssh: ~/.ssh/known_hosts. Users' keys are found as paramiko does, by agent or file.

    Raises SourceError for a host that is not known or has another key, PermissionError where it lets nobody in.
    """

    patience_seconds = 30

    @property
    def is_alive(self) -> bool:
        transport = self.client.get_transport()
        return transport is not None and transport.is_active() and not self.ftp.get_channel().closed

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

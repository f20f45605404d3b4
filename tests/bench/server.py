"""nginx on loopback, with latency put before each answer and counters of what it gave out."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("nginx-light", "libnginx-mod-http-lua")
_MODULES = Path("/usr/lib/nginx/modules")

_CONFIG = """
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
daemon off; worker_processes 1; pid nginx.pid; error_log error.log warn; {user}
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nodelay on; tcp_nopush on; keepalive_requests 1000000;
  open_file_cache max=20000 inactive=600s; open_file_cache_valid 600s;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  lua_shared_dict told 1m;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    root {root};
    location = /_counts {{ content_by_lua_block {{
      local told = ngx.shared.told
      ngx.print(string.format('{{"requests":%d,"nbytes":%d,"most":%d}}', told:get("requests") or 0,
                              told:get("nbytes") or 0, told:get("most") or 0))
      if ngx.var.arg_latency then told:set("latency", tonumber(ngx.var.arg_latency)) end
      if ngx.var.arg_reset then
        told:set("requests", 0); told:set("nbytes", 0); told:set("most", 0)
      end
    }} }}
    location / {{
      access_by_lua_block {{
        local told = ngx.shared.told
        local now = told:incr("now", 1, 0)
        if now > (told:get("most") or 0) then told:set("most", now) end
        local latency = told:get("latency") or 0
        if latency > 0 then ngx.sleep(latency) end
      }}
      log_by_lua_block {{
        local told = ngx.shared.told
        told:incr("now", -1, 0)
        told:incr("requests", 1, 0)
        told:incr("nbytes", tonumber(ngx.var.body_bytes_sent) or 0, 0)
      }}
    }}
  }}
}}
"""


class NoServerError(Exception):
    """nginx cannot be started; the text says what to do."""


@dataclass(frozen=True)
class Counts:
    """What the server gave out since it was last reset."""

    requests: int
    nbytes: int
    most: int
    """Most requests that were in flight at once."""


def ask(port: int, *, reset: bool = False, latency: float | None = None) -> Counts:
    """Read the counters; then reset them, or set the seconds that each answer is held back."""
    options = ["reset=1"] if reset else []
    options += [f"latency={latency}"] if latency is not None else []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", f"/_counts?{'&'.join(options)}")
        return Counts(**json.loads(connection.getresponse().read()))
    finally:
        connection.close()


def find_nginx() -> str:
    """nginx and its lua module, from the system's packages; installed when that is possible."""
    for attempt in range(2):
        binary = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        if binary and (_MODULES / "ngx_http_lua_module.so").exists():
            return binary
        if attempt == 0 and os.geteuid() == 0 and shutil.which("apt-get"):
            for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
                subprocess.run(["apt-get", "-q", *command], check=False, capture_output=True)
    raise NoServerError(
        f"The benchmark needs nginx with its lua module: install {' and '.join(PACKAGES)} "
        "(Debian's names) and try again."
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(folder: Path, port: int) -> Iterator[None]:
    """The files under ``folder/www`` on `port`, until the block ends."""
    binary = find_nginx()
    own = folder / "nginx"
    own.mkdir(parents=True, exist_ok=True)
    user = "user root;" if os.geteuid() == 0 else ""
    text = _CONFIG.format(modules=_MODULES, port=port, root=folder / "www", user=user)
    (own / "nginx.conf").write_text(text)
    process = subprocess.Popen(
        [binary, "-p", str(own), "-c", "nginx.conf"], stderr=subprocess.PIPE, text=True
    )
    try:
        _await(process, port)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def _await(process: subprocess.Popen[str], port: int) -> None:
    for _ in range(100):
        if process.poll() is not None:
            assert process.stderr is not None
            raise NoServerError(
                f"nginx does not start on port {port}: {process.stderr.read().strip()} "
                "Where another program has the port, name a free one with --port; "
                "the manifests are then written anew."
            )
        try:
            ask(port)
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise NoServerError(f"nginx does not answer on port {port}.")

"""The gateways that are compared, each with one worker, keep-alive to the back end, no access log, in front of one back end."""

import pathlib
import subprocess

import bench


class Setup:
    """What a comparison asks of a gateway."""

    def __init__(self, backend_port, routes=1, has_tls=False, buffers="small"):
        self.backend_port = backend_port
        self.routes = routes
        self.has_tls = has_tls
        self.buffers = buffers

    def paths(self):
        return ["/"] if self.routes == 1 else [f"/r{number}" for number in range(self.routes)]


def certificate(folder):
    """A self-signed P-256 certificate; returns the files of certificate and key."""
    certificate_file, key_file = folder / "site.crt", folder / "site.key"
    if not certificate_file.exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "7",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", str(key_file), "-out", str(certificate_file)],
            check=True, capture_output=True)
        (folder / "site.pem").write_text(certificate_file.read_text() + key_file.read_text())
    return certificate_file, key_file


def start(name, program, folder, setup):
    folder = pathlib.Path(folder) / name
    folder.mkdir(exist_ok=True)
    port = bench.free_port()
    command = {"sampan": sampan, "nginx": nginx, "haproxy": haproxy}[name](program, folder, port, setup)
    return bench.Running(command, bench.SUBJECT_CPU, port, name)


def sampan(program, folder, port, setup):
    tls = ""
    if setup.has_tls:
        certificate_file, key_file = certificate(folder)
        tls = f", tls: {{certificates: [{{certificateFile: {certificate_file}, keyFile: {key_file}}}]}}"
    routes = "\n".join(
        f"  - {{name: r{number}, rules: [{{matches: [{{path: {{prefix: {path}}}}}], backends: [back]}}]}}"
        for number, path in enumerate(setup.paths()))
    (folder / "gateway.yaml").write_text(f"""\
workers: 1
listeners:
  - {{name: web, address: 127.0.0.1, port: {port}{tls}}}
routes:
{routes}
backends:
  back: {{endpoints: ["127.0.0.1:{setup.backend_port}"]}}
""")
    return [program, "gateway", "--config", str(folder / "gateway.yaml"), "--admin-socket", str(folder / "admin.sock")]


def nginx(_, folder, port, setup):
    listen, tls = f"127.0.0.1:{port} reuseport", ""
    if setup.has_tls:
        certificate_file, key_file = certificate(folder)
        listen += " ssl"
        tls = f"ssl_certificate {certificate_file}; ssl_certificate_key {key_file}; ssl_protocols TLSv1.2 TLSv1.3;"
    # Without larger buffers a body of 64 KB goes through in pieces of 4 KB.
    buffers = "proxy_buffer_size 16k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;" if setup.buffers == "large" else ""
    locations = "\n".join(f"location {path} {{ proxy_pass http://back; }}" for path in setup.paths())
    (folder / "nginx.conf").write_text(f"""\
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  upstream back {{ server 127.0.0.1:{setup.backend_port}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen {listen}; {tls}
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; {buffers}
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    {locations}
  }}
}}
""")
    return [bench.find("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]


def haproxy(_, folder, port, setup):
    tls = ""
    if setup.has_tls:
        certificate(folder)
        tls = f" ssl crt {folder}/site.pem alpn http/1.1"
    rules = "\n".join(f"  use_backend back if {{ path_beg {path} }}" for path in setup.paths())
    (folder / "haproxy.cfg").write_text(f"""\
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  option forwardfor
  http-reuse always
frontend web
  bind 127.0.0.1:{port}{tls}
{rules}
backend back
  server one 127.0.0.1:{setup.backend_port}
""")
    return [bench.find("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]

"""The gateways that are compared, each with one worker and keep-alive to one back end; no access log and no limits unless features are asked for."""

import pathlib
import subprocess

import bench


class Setup:
    """What a comparison asks of a gateway."""

    def __init__(self, backend_port, routes=1, has_tls=False, buffers="small", has_features=False, workers=1):
        self.backend_port = backend_port
        self.routes = routes
        self.has_tls = has_tls
        self.buffers = buffers
        self.has_features = has_features
        self.workers = workers

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
    return bench.Running(command, bench.SUBJECT_CPU if setup.workers == 1 else "0,1", port, name)


# Limits that nothing reaches, one of each kind, and their names.
POLICIES = """\
policies:
  rate: {rateLimit: {rate: 1000000/s}}
  even: {rateLimit: {rate: 1000000/s, maximumWait: 1s}}
  warm: {rateLimit: {rate: 1000000/s, warmUp: {time: 1s, coldFactor: 2}}}
  address: {rateLimit: {rate: 1000000/s, key: clientAddress}}
  tenant: {rateLimit: {rate: 1000000/s, key: {header: X-Tenant}}}
  related: {related: {route: r0, rate: 1000000/s}}
  flying: {concurrency: {maximum: 10000}}
  each: {concurrency: {maximum: 10000, key: host}}
  overload: {loadShedding: {classes: [{name: paid, selectors: [{header: X-Plan, value: paid}]}, {name: free}], initialCap: 4096}}
  breaker: {circuitBreaker: {slowRatio: 90%}}
"""
POLICY_NAMES = ["rate", "even", "warm", "address", "tenant", "related", "flying", "each", "overload", "breaker"]
POLICY_FIELDS = ["-H", "X-Tenant: acme", "-H", "X-Plan: paid"]


def sampan(program, folder, port, setup):
    tls = ""
    if setup.has_tls:
        certificate_file, key_file = certificate(folder)
        tls = f", tls: {{certificates: [{{certificateFile: {certificate_file}, keyFile: {key_file}}}]}}"
    policies = f", policies: [{', '.join(POLICY_NAMES)}]" if setup.has_features else ""
    routes = "\n".join(
        f"  - {{name: r{number}, rules: [{{matches: [{{path: {{prefix: {path}}}}}], backends: [back]{policies}}}]}}"
        for number, path in enumerate(setup.paths()))
    (folder / "gateway.yaml").write_text(f"""\
workers: {setup.workers}
listeners:
  - {{name: web, address: 127.0.0.1, port: {port}{tls}}}
routes:
{routes}
backends:
  back: {{endpoints: ["127.0.0.1:{setup.backend_port}"]}}
{POLICIES + f"accessLog: {{path: {folder}/access.log, format: combined}}" if setup.has_features else ""}
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
    zones, limits, log = "", "", "access_log off;"
    if setup.has_features:
        # What nginx has of the same: limits by address and by a header, of connections, a request's id, and a buffered log.
        zones = ("limit_req_zone $server_name zone=all:1m rate=1000000r/s; limit_req_zone $binary_remote_addr zone=address:10m rate=1000000r/s; "
                 "limit_req_zone $http_x_tenant zone=tenant:10m rate=1000000r/s; limit_conn_zone $server_name zone=flying:1m;")
        limits = ("limit_req zone=all burst=1000; limit_req zone=address burst=1000; limit_req zone=tenant burst=1000; limit_conn flying 10000; "
                  "proxy_set_header X-Request-Id $request_id; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host;")
        log = (f"log_format full '$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" "
               f"\"$http_user_agent\" $host $request_id $request_time $upstream_addr'; access_log {folder}/access.log full buffer=64k;")
    locations = "\n".join(f"location {path} {{ proxy_pass http://back; }}" for path in setup.paths())
    (folder / "nginx.conf").write_text(f"""\
daemon off; worker_processes {setup.workers}; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
  {log} {zones} keepalive_requests 1000000000; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  upstream back {{ server 127.0.0.1:{setup.backend_port}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen {listen}; {tls}
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; {buffers}
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; {limits}
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

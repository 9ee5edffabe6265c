import Foundation
import TestKit

/// A small web server behind a Service and an HTTPRoute, with a stock manifest: a readiness probe and nothing else that would soften
/// a stop. nginx ends at once on SIGTERM and cuts what it is answering.
struct Site {
    let name: String
    let replicas: Int
    let platform: TestPlatform

    /// The host that the gateway serves it under.
    var host: String { "\(name).test" }

    func deploy() async throws {
        try await platform.kubectl("apply", "-f", "-", input: manifest)
        try await waitUntilRolledOut()
        try await waitUntil("\(host) to answer", within: .seconds(15)) {
            try await platform.page(host: host).status == 200
        }
    }

    /// Replaces all pods, by the two ways that people use.
    func roll(_ number: Int) async throws {
        if number.isMultiple(of: 2) {
            try await platform.kubectl("rollout", "restart", "deployment/\(name)")
        } else {
            try await platform.kubectl("set", "env", "deployment/\(name)", "ROLL=\(number)")
        }
    }

    func waitUntilRolledOut() async throws {
        try await platform.kubectl("rollout", "status", "deployment/\(name)", "--timeout=60s")
    }

    /// What runs: the id of every container of every pod that is not being stopped.
    func containers() async throws -> Set<String> {
        let ids = try await platform.kubectl(
            "get",
            "pods",
            "-l",
            "app=\(name)",
            "-o",
            "jsonpath={range .items[*]}{.metadata.name}={.status.containerStatuses[0].containerID} {end}"
        )
        return Set(ids.split(separator: " ").map(String.init))
    }

    private var manifest: String {
        """
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: \(name)}
        data:
          nginx.conf: |
            worker_processes 1;
            error_log /dev/stderr warn;
            pid /tmp/nginx.pid;
            events {}
            http {
              access_log off;
              client_body_temp_path /tmp/body;
              proxy_temp_path /tmp/proxy;
              fastcgi_temp_path /tmp/fastcgi;
              uwsgi_temp_path /tmp/uwsgi;
              scgi_temp_path /tmp/scgi;
              keepalive_timeout 2s;
              server { listen 8080; location / { default_type text/plain; return 200 "\(name) on $hostname"; } }
            }
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: \(name)}
        spec:
          replicas: \(replicas)
          selector: {matchLabels: {app: \(name)}}
          template:
            metadata: {labels: {app: \(name)}}
            spec:
              containers:
                - name: web
                  image: nginx:1.22
                  command: [nginx, -c, /etc/site/nginx.conf, -g, daemon off;]
                  ports: [{name: http, containerPort: 8080}]
                  readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1, timeoutSeconds: 5}
                  volumeMounts: [{name: site, mountPath: /etc/site}]
              volumes:
                - name: site
                  configMap: {name: \(name)}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: \(name)}
        spec:
          selector: {app: \(name)}
          ports: [{name: http, port: 80, targetPort: http}]
        ---
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: {name: \(name)}
        spec:
          parentRefs: [{name: sampan, namespace: sampan-system}]
          hostnames: [\(host)]
          rules: [{backendRefs: [{name: \(name), port: 80}]}]

        """
    }
}

/// A number that an environment variable may set, for longer runs of the same test.
func setting(_ name: String, default value: Int) -> Int {
    ProcessInfo.processInfo.environment[name].flatMap(Int.init) ?? value
}

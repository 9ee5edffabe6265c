/// A small web application as files of a repository: one page that says its version.
struct JourneyApplication {
    var version = 1
    /// What the container runs.
    var command = "trap 'exit 0' TERM; httpd -f -p 8080 -h /www & wait"
    /// The readiness probe asks for this path.
    var probePath = "/"
    /// A line more for the Dockerfile.
    var buildStep = ""
    /// Lines more for the Deployment's specification.
    var deploymentLines = ""

    var dockerfile: String {
        """
        FROM busybox:1.36
        COPY www /www
        \(buildStep)
        EXPOSE 8080
        CMD ["sh", "-c", "\(command)"]

        """
    }

    var pageFiles: [String: String] {
        ["Dockerfile": dockerfile, "www/index.html": "version \(version)\n"]
    }

    var files: [String: String] {
        pageFiles.merging([".gitlab-ci.yml": Self.pipeline, "k8s/app.yaml": manifest]) { $1 }
    }

    static let pipeline = """
        stages: [test, build, deploy]

        test:
          stage: test
          image: busybox:1.36
          script:
            - grep version www/index.html

        build:
          stage: build
          image: busybox:1.36
          script:
            - sampan build --image app

        deploy:
          stage: deploy
          image: busybox:1.36
          environment: daily
          script:
            - sampan deploy

        """

    var manifest: String {
        """
        apiVersion: apps/v1
        kind: Deployment
        metadata:
          name: app
        spec:
          replicas: 1
        \(deploymentLines)
          selector:
            matchLabels:
              app: app
          template:
            metadata:
              labels:
                app: app
            spec:
              containers:
                - name: app
                  image: app
                  ports:
                    - name: http
                      containerPort: 8080
                  readinessProbe:
                    httpGet:
                      path: \(probePath)
                      port: http
                    periodSeconds: 1
                    timeoutSeconds: 5
        ---
        apiVersion: v1
        kind: Service
        metadata:
          name: app
        spec:
          selector:
            app: app
          ports:
            - port: 80
              targetPort: http
        ---
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata:
          name: app
        spec:
          rules:
            - backendRefs:
                - name: app
                  port: 80

        """
    }
}

/// The labels by which an agent that starts anew finds what it started before; the names are the kubelet's.
enum Label {
    static let podName = "io.kubernetes.pod.name"
    static let podNamespace = "io.kubernetes.pod.namespace"
    static let podUID = "io.kubernetes.pod.uid"
    static let containerName = "io.kubernetes.container.name"
}

/// Facts about a container that are kept with it in the runtime.
enum Annotation {
    static let hash = "io.kubernetes.container.hash"
    static let restartCount = "io.kubernetes.container.restartCount"
    static let terminationMessagePath = "io.kubernetes.container.terminationMessagePath"
    static let terminationMessagePolicy = "io.kubernetes.container.terminationMessagePolicy"
    static let terminationGracePeriod = "io.kubernetes.pod.terminationGracePeriod"
}

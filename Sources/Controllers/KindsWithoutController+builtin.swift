package import KubernetesModel

extension KindsWithoutController {
    /// The kinds of the catalogue that none of this program's parts acts on.
    package static let builtin = KindsWithoutController([
        "backendtlspolicies.gateway.networking.k8s.io": "the gateway speaks plain HTTP to backends",
        "cronjobs.batch": "make a Job at each time, such as from a scheduled pipeline",
        "daemonsets.apps": "use a Deployment with one replica, which on one machine is the same",
        "endpoints": "use an EndpointSlice with the label kubernetes.io/service-name",
        "grpcroutes.gateway.networking.k8s.io": "use an HTTPRoute",
        "horizontalpodautoscalers.autoscaling": "set spec.replicas of the workload",
        "ingressclasses.networking.k8s.io": "use a Gateway",
        "ingresses.networking.k8s.io": "use an HTTPRoute",
        "limitranges": "set the resources of each container",
        "networkpolicies.networking.k8s.io": "all pods reach one another",
        "persistentvolumeclaims": "name a PersistentVolume in spec.volumeName, or use a hostPath volume",
        "poddisruptionbudgets.policy": "evictions do not ask for it",
        "priorityclasses.scheduling.k8s.io": "pods are scheduled in the order of their creation",
        "resourcequotas": "nothing limits the namespace",
        "statefulsets.apps": "use a Deployment with a hostPath volume for what it keeps",
        "storageclasses.storage.k8s.io": "make each PersistentVolume by hand",
    ])
}

/// Which namespace of the cluster an environment lives in.
package enum EnvironmentNamespace {
    /// - Parameter project: `group/name`
    package static func name(project: String, environment: String) -> String {
        let project = ReleaseProject(id: 0, path: project, webURL: "")
        return ReleaseEnvironment(project: project, name: environment).namespace
    }
}

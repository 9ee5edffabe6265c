/// The pipeline of a project without a `.gitlab-ci.yml`.
package enum DefaultPipeline {
    /// The configuration for a commit with these files, or `nil` when there is nothing to build.
    package static func configuration(paths: [String]) -> String? {
        paths.contains("Dockerfile") ? text : nil
    }

    static let text = """
        stages: [build, deploy]

        default:
          image: $SAMPAN_TOOLS_IMAGE

        build:
          stage: build
          script:
            - sampan build

        deploy:
          stage: deploy
          script:
            - sampan deploy
          resource_group: $SAMPAN_ENVIRONMENT
          environment:
            name: $SAMPAN_ENVIRONMENT
          rules:
            - if: $CI_COMMIT_BRANCH == "release"
              variables:
                SAMPAN_ENVIRONMENT: production
            - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH || $CI_COMMIT_BRANCH == "main" || $CI_COMMIT_BRANCH == "master"
              variables:
                SAMPAN_ENVIRONMENT: daily
        """
}

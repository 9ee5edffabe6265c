/// The hooks that `git receive-pack` runs for us. What they must do arrives in their environment, so they need no way back
/// into the server.
enum ReceiveHook: String, CaseIterable {
    case preReceive = "pre-receive"
    case postReceive = "post-receive"

    /// The refusal that pre-receive prints, empty when there is none.
    static let refusal = "SAMPAN_PUSH_REFUSAL"
    /// References, one per line, that may only move forward.
    static let fastForwardOnly = "SAMPAN_FAST_FORWARD_ONLY"
    /// The file that post-receive writes the moved references to.
    static let receipt = "SAMPAN_PUSH_RECEIPT"

    var script: String {
        switch self {
        case .preReceive: Self.preReceiveScript
        case .postReceive: Self.postReceiveScript
        }
    }

    // pre-receive sees the new objects in quarantine: when it fails, they vanish with it.
    private static let preReceiveScript = """
        #!/bin/sh
        if [ -n "$SAMPAN_PUSH_REFUSAL" ]; then
            printf 'GitLab: %s\\n' "$SAMPAN_PUSH_REFUSAL" >&2
            exit 1
        fi
        [ -n "$SAMPAN_FAST_FORWARD_ONLY" ] || exit 0
        zero=0000000000000000000000000000000000000000
        while read -r before after ref; do
            [ "$before" = "$zero" ] && continue
            [ "$after" = "$zero" ] && continue
            printf '%s\\n' "$SAMPAN_FAST_FORWARD_ONLY" | grep -qxF -- "$ref" || continue
            if ! git merge-base --is-ancestor "$before" "$after"; then
                echo "GitLab: You are not allowed to force push code to a protected branch on this project." >&2
                exit 1
            fi
        done

        """

    private static let postReceiveScript = """
        #!/bin/sh
        [ -n "$SAMPAN_PUSH_RECEIPT" ] || exit 0
        cat > "$SAMPAN_PUSH_RECEIPT.part" && mv "$SAMPAN_PUSH_RECEIPT.part" "$SAMPAN_PUSH_RECEIPT"

        """
}

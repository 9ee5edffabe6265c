import KubernetesModel

/// What must happen to an object because of its owners and dependents. Pure.
enum GarbagePlan: Equatable {
    /// An owner as a reference names it, looked up in the cluster.
    enum Owner: Equatable {
        case present
        /// It does not exist, or another object has its name now.
        case absent
        /// It is being deleted and waits for its dependents.
        case waitsForDependents
    }

    case nothing
    /// Some owners are left: only the others are taken from the references.
    case keep(owners: [OwnerReference])
    case delete(DeletionKind)
    /// It is being deleted in the foreground: its dependents go first.
    case deleteDependents
    /// It is being deleted and leaves its dependents behind.
    case orphanDependents

    enum DeletionKind: Equatable {
        case background
        /// It has dependents of its own, which its owner waits for as well.
        case foreground
        case orphan
    }

    static let foregroundFinalizer = "foregroundDeletion"
    static let orphanFinalizer = "orphan"

    init(_ object: AnyObjectView, hasDependents: Bool, owner: (OwnerReference) async throws -> Owner) async rethrows {
        if object.isBeingDeleted {
            if object.finalizers.contains(Self.orphanFinalizer) {
                self = .orphanDependents
            } else if object.finalizers.contains(Self.foregroundFinalizer) {
                self = .deleteDependents
            } else {
                self = .nothing
            }
            return
        }
        var present: [OwnerReference] = []
        var isAwaited = false
        for reference in object.ownerReferences {
            switch try await owner(reference) {
            case .present: present.append(reference)
            case .absent: break
            case .waitsForDependents:
                if reference.blocksOwnerDeletion { isAwaited = true } else { present.append(reference) }
            }
        }
        self.init(object, present: present, isAwaited: isAwaited, hasDependents: hasDependents)
    }

    private init(_ object: AnyObjectView, present: [OwnerReference], isAwaited: Bool, hasDependents: Bool) {
        if present.count == object.ownerReferences.count {
            self = .nothing
        } else if !present.isEmpty {
            self = .keep(owners: present)
        } else if isAwaited, hasDependents {
            self = .delete(.foreground)
        } else if object.finalizers.contains(Self.orphanFinalizer) {
            self = .delete(.orphan)
        } else if object.finalizers.contains(Self.foregroundFinalizer) {
            self = .delete(.foreground)
        } else {
            self = .delete(.background)
        }
    }
}

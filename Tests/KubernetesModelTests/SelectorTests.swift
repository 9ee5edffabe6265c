import KubernetesModel
import Testing

@Suite struct LabelSelectorTests {
    static let labels = ["app": "web", "tier": "front", "empty": "", "replicas": "3"]

    static let selectors: [(String, Bool)] = [
        ("", true), ("app", true), ("!app", false), ("!other", true), ("app=web", true), ("app==web", true),
        ("app = web", true), ("app!=web", false), ("app!=api", true), ("other!=x", true), ("other=x", false),
        ("app in (web, api)", true), ("app in (api)", false), ("app notin (api)", true), ("other notin (x)", true),
        ("app notin (web)", false), ("app=web,tier=front", true), ("app=web,tier=back", false), ("empty=", true),
        ("empty in ()", true), ("app=", false), ("replicas>2", true), ("replicas > 3", false), ("replicas<4", true),
        ("app>1", false), ("app.kubernetes.io/name notin (a),app", true), ("app in (a,),!z", false),
    ]

    @Test(arguments: selectors)
    func chooses(_ text: String, _ expected: Bool) throws {
        #expect(try LabelSelector(parsing: text).matches(Self.labels) == expected)
    }

    @Test(arguments: [
        ",", "a,", "=b", "a=b=c", "a in", "a in x", "a in (x", "a in (x y)", "a notin", "!", "a b", "a>x", "-a=b",
        "a=-b", "(a)",
    ])
    func refuses(_ text: String) {
        #expect(throws: SelectorError.self) { try LabelSelector(parsing: text) }
    }

    static let objects: [(JSON, Bool)] = [
        ([:], true), (["matchLabels": ["app": "web"]], true), (["matchLabels": ["app": "api"]], false),
        (["matchExpressions": [["key": "app", "operator": "In", "values": ["web"]]]], true),
        (["matchExpressions": [["key": "app", "operator": "NotIn", "values": ["web"]]]], false),
        (["matchExpressions": [["key": "app", "operator": "Exists"]]], true),
        (["matchExpressions": [["key": "app", "operator": "DoesNotExist"]]], false),
        (["matchLabels": ["app": "web"], "matchExpressions": [["key": "x", "operator": "Exists"]]], false),
    ]

    @Test(arguments: objects)
    func readsObjects(_ object: JSON, _ expected: Bool) throws {
        #expect(try LabelSelector(object).matches(Self.labels) == expected)
    }

    static let wrongObjects: [JSON] = [
        "x", ["matchExpressions": [["key": "a", "operator": "Near", "values": ["b"]]]],
        ["matchExpressions": [["key": "a", "operator": "In"]]],
        ["matchExpressions": [["key": "a", "operator": "Exists", "values": ["b"]]]],
        ["matchExpressions": [["operator": "Exists"]]],
    ]

    @Test(arguments: wrongObjects)
    func refusesObjects(_ object: JSON) {
        #expect(throws: SelectorError.self) { try LabelSelector(object) }
    }

    @Test func isEmptyWithoutRequirements() throws {
        #expect(LabelSelector(matchLabels: [:]).isEmpty)
        #expect(try !LabelSelector(parsing: "a").isEmpty)
        #expect(LabelSelector(matchLabels: ["app": "web"]).matches(Self.labels))
    }
}

@Suite struct FieldSelectorTests {
    static let pod: JSON = [
        "metadata": ["name": "web-1", "namespace": "shop"], "spec": ["nodeName": "n1", "hostNetwork": false],
        "status": ["phase": "Running"], "type": "a,b=c", "count": 3,
    ]

    static let fieldSelectors: [(String, Bool)] = [
        ("", true), ("metadata.name=web-1", true), ("metadata.name==web-1", true), ("metadata.name!=web-1", false),
        ("metadata.namespace=shop,spec.nodeName=n1", true), ("status.phase!=Running", false), ("spec.nodeName=", false),
        ("spec.schedulerName=", true), ("spec.hostNetwork=false", true), ("count=3", true), (#"type=a\,b\=c"#, true),
        ("status.phase=Running,status.phase!=Failed", true),
    ]

    @Test(arguments: fieldSelectors)
    func chooses(_ text: String, _ expected: Bool) throws {
        #expect(try FieldSelector(parsing: text).matches(Self.pod) == expected)
    }

    @Test(arguments: ["metadata.name", "=a", "a!b"])
    func refuses(_ text: String) {
        #expect(throws: SelectorError.self) { try FieldSelector(parsing: text) }
    }

    @Test func saysWhichValueItRequires() throws {
        let selector = try FieldSelector(parsing: "metadata.name=a,status.phase!=b")
        #expect(selector.requiredValue(at: "metadata.name") == "a")
        #expect(selector.requiredValue(at: "status.phase") == nil)
    }
}

import KubernetesModel
import Testing

@Suite struct MergePatchTests {
    /// RFC 7386, appendix A.
    static let mergeRows: [(String, String, String)] = [
        (#"{"a":"b"}"#, #"{"a":"c"}"#, #"{"a":"c"}"#), (#"{"a":"b"}"#, #"{"b":"c"}"#, #"{"a":"b","b":"c"}"#),
        (#"{"a":"b"}"#, #"{"a":null}"#, "{}"), (#"{"a":"b","b":"c"}"#, #"{"a":null}"#, #"{"b":"c"}"#),
        (#"{"a":["b"]}"#, #"{"a":"c"}"#, #"{"a":"c"}"#), (#"{"a":"c"}"#, #"{"a":["b"]}"#, #"{"a":["b"]}"#),
        (#"{"a":{"b":"c"}}"#, #"{"a":{"b":"d","c":null}}"#, #"{"a":{"b":"d"}}"#),
        (#"{"a":[{"b":"c"}]}"#, #"{"a":[1]}"#, #"{"a":[1]}"#), (#"["a","b"]"#, #"["c","d"]"#, #"["c","d"]"#),
        (#"{"a":"b"}"#, #"["c"]"#, #"["c"]"#), (#"{"a":"foo"}"#, "null", "null"),
        (#"{"a":"foo"}"#, #""bar""#, #""bar""#),
        (#"{"e":null}"#, #"{"a":1}"#, #"{"e":null,"a":1}"#), ("[1,2]", #"{"a":"b","c":null}"#, #"{"a":"b"}"#),
        ("{}", #"{"a":{"bb":{"ccc":null}}}"#, #"{"a":{"bb":{}}}"#),
    ]

    @Test(arguments: mergeRows)
    func followsTheAppendixOfRFC7386(_ target: String, _ patch: String, _ expected: String) throws {
        let result = MergePatch.apply(try JSON(parsing: patch), to: try JSON(parsing: target))
        #expect(result.encodedString == expected)
    }
}

@Suite struct JSONPatchTests {
    /// RFC 6902, appendix A.
    static let jsonPatchRows: [(String, String, String)] = [
        (#"{"foo":"bar"}"#, #"[{"op":"add","path":"/baz","value":"qux"}]"#, #"{"foo":"bar","baz":"qux"}"#),
        (#"{"foo":["bar","baz"]}"#, #"[{"op":"add","path":"/foo/1","value":"qux"}]"#, #"{"foo":["bar","qux","baz"]}"#),
        (#"{"baz":"qux","foo":"bar"}"#, #"[{"op":"remove","path":"/baz"}]"#, #"{"foo":"bar"}"#),
        (#"{"foo":["bar","qux","baz"]}"#, #"[{"op":"remove","path":"/foo/1"}]"#, #"{"foo":["bar","baz"]}"#),
        (#"{"baz":"qux"}"#, #"[{"op":"replace","path":"/baz","value":"boo"}]"#, #"{"baz":"boo"}"#),
        (
            #"{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}"#,
            #"[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]"#,
            #"{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}"#
        ),
        (
            #"{"foo":["all","grass","cows","eat"]}"#, #"[{"op":"move","from":"/foo/1","path":"/foo/3"}]"#,
            #"{"foo":["all","cows","eat","grass"]}"#
        ),
        (
            #"{"baz":"qux","foo":["a",2,"c"]}"#,
            #"[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]"#,
            #"{"baz":"qux","foo":["a",2,"c"]}"#
        ),
        (
            #"{"foo":"bar"}"#, #"[{"op":"add","path":"/child","value":{"grandchild":{}}}]"#,
            #"{"foo":"bar","child":{"grandchild":{}}}"#
        ),
        (#"{"foo":"bar"}"#, #"[{"op":"add","path":"/baz","value":"qux","xyz":123}]"#, #"{"foo":"bar","baz":"qux"}"#),
        (#"{"/":9,"~1":10}"#, #"[{"op":"test","path":"/~01","value":10}]"#, #"{"/":9,"~1":10}"#),
        (
            #"{"foo":["bar"]}"#, #"[{"op":"add","path":"/foo/-","value":["abc","def"]}]"#,
            #"{"foo":["bar",["abc","def"]]}"#
        ),
        (#"{"a":1}"#, #"[{"op":"copy","from":"/a","path":"/b"}]"#, #"{"a":1,"b":1}"#),
        (#"{"a":1}"#, #"[{"op":"replace","path":"","value":[1]}]"#, "[1]"),
        (#"{"a":[{"b":1}]}"#, #"[{"op":"replace","path":"/a/0/b","value":2}]"#, #"{"a":[{"b":2}]}"#),
        (#"{"a/b":1}"#, #"[{"op":"replace","path":"/a~1b","value":2}]"#, #"{"a/b":2}"#),
        (#"{"a":{"x":1,"y":2}}"#, #"[{"op":"test","path":"/a","value":{"y":2,"x":1.0}}]"#, #"{"a":{"x":1,"y":2}}"#),
    ]

    @Test(arguments: jsonPatchRows)
    func followsTheAppendixOfRFC6902(_ target: String, _ patch: String, _ expected: String) throws {
        let result = try JSONPatch.apply(try JSON(parsing: patch), to: try JSON(parsing: target))
        #expect(result.encodedString == expected)
    }

    static let wrongOperations: [(String, String, Int)] = [
        (#"{"baz":"qux"}"#, #"[{"op":"test","path":"/baz","value":"bar"}]"#, 422),
        (#"{"foo":"bar"}"#, #"[{"op":"add","path":"/baz/bat","value":"qux"}]"#, 422),
        (#"{"/":9,"~1":10}"#, #"[{"op":"test","path":"/~01","value":"10"}]"#, 422),
        (#"{"a":[1]}"#, #"[{"op":"remove","path":"/a/1"}]"#, 422),
        (#"{"a":[1]}"#, #"[{"op":"add","path":"/a/2","value":1}]"#, 422),
        (#"{"a":[1]}"#, #"[{"op":"add","path":"/a/01","value":1}]"#, 422),
        (#"{"a":1}"#, #"[{"op":"remove","path":"/b"}]"#, 422),
        (#"{"a":1}"#, #"[{"op":"replace","path":"/b","value":1}]"#, 422),
        (#"{"a":{"b":1}}"#, #"[{"op":"move","from":"/a","path":"/a/b"}]"#, 422),
        (#"{"a":1}"#, #"[{"op":"add","path":"/b"}]"#, 400), (#"{"a":1}"#, #"[{"op":"grow","path":"/b"}]"#, 400),
        (#"{"a":1}"#, #"[{"op":"add","path":"b","value":1}]"#, 400), (#"{"a":1}"#, #"{"op":"add"}"#, 400),
        (#"{"a":1}"#, #"[{"op":"remove"}]"#, 400),
    ]

    @Test(arguments: wrongOperations)
    func refuses(_ target: String, _ patch: String, _ code: Int) throws {
        let error = #expect(throws: StatusError.self) {
            try JSONPatch.apply(try JSON(parsing: patch), to: try JSON(parsing: target))
        }
        #expect(error?.code == code)
    }

    @Test func boundsTheOperations() {
        let operation: JSON = ["op": "test", "path": "", "value": [:]]
        let patch = JSON.array(Array(repeating: operation, count: JSONPatch.maximumOperations + 1))
        let error = #expect(throws: StatusError.self) { try JSONPatch.apply(patch, to: [:]) }
        #expect(error?.code == 413)
    }
}

@Suite struct StrategicMergePatchTests {
    static let schema = ResourceCatalog.builtin.definition(.deployments)?.schema

    static let deployment: JSON = [
        "metadata": ["name": "web", "labels": ["a": "1", "b": "2"], "finalizers": ["x", "y"]],
        "spec": [
            "strategy": ["type": "RollingUpdate", "rollingUpdate": ["maxSurge": 1]],
            "template": [
                "spec": [
                    "containers": [
                        [
                            "name": "web", "image": "web:1", "args": ["a", "b"],
                            "ports": [["containerPort": 80], ["containerPort": 81]],
                            "env": [["name": "A", "value": "1"], ["name": "B", "value": "2"]],
                        ],
                        ["name": "side", "image": "side:1"],
                    ],
                    "tolerations": [["key": "a"]], "nodeSelector": ["disk": "ssd"],
                ]
            ],
        ],
    ]

    private func apply(_ patch: JSON) throws -> JSON {
        try StrategicMergePatch.apply(patch, to: Self.deployment, schema: try #require(Self.schema))
    }

    private func containers(_ patch: [JSON]) -> JSON { ["spec": ["template": ["spec": ["containers": .array(patch)]]]] }

    private func containers(of object: JSON) -> [JSON] {
        object["spec", "template", "spec", "containers"]?.array ?? []
    }

    @Test func mergesContainersByName() throws {
        let result = containers(of: try apply(containers([["name": "side", "image": "side:2"], ["name": "new"]])))
        #expect(result.map { $0["name"] } == ["web", "side", "new"])
        #expect(result[1]["image"] == "side:2")
        #expect(result[0] == containers(of: Self.deployment)[0])
    }

    @Test func mergesPortsAndVariablesByKey() throws {
        let patch: JSON = [
            "name": "web", "ports": [["containerPort": 81, "name": "admin"], ["containerPort": 82]],
            "env": [["name": "B", "value": "3"], ["name": "C", "value": "4"]], "args": ["z"],
        ]
        let web = containers(of: try apply(containers([patch])))[0]
        #expect(
            web["ports"]?.encodedString
                == #"[{"containerPort":80},{"containerPort":81,"name":"admin"},{"containerPort":82}]"#
        )
        #expect(web["env"]?.array?.compactMap { $0["value"]?.string } == ["1", "3", "4"])
        #expect(web["args"] == ["z"], "a list without merge strategy is replaced")
    }

    @Test func deletesElementsAndFields() throws {
        let result = try apply(containers([["name": "side", "$patch": "delete"]]))
        #expect(containers(of: result).map { $0["name"] } == ["web"])
        let labels = try apply(["metadata": ["labels": ["a": .null]]])
        #expect(labels["metadata", "labels"] == ["b": "2"])
        let map = try apply(["spec": ["template": ["spec": ["nodeSelector": ["$patch": "delete"]]]]])
        #expect(map["spec", "template", "spec"]?["nodeSelector"] == nil)
    }

    @Test func replacesWhereThePatchSaysSo() throws {
        let list = try apply(containers([["$patch": "replace"], ["name": "only", "image": "x"]]))
        #expect(containers(of: list) == [["name": "only", "image": "x"]])
        let map = try apply(["metadata": ["labels": ["$patch": "replace", "c": "3"]]])
        #expect(map["metadata", "labels"] == ["c": "3"])
    }

    @Test func retainsOnlyTheNamedKeys() throws {
        let result = try apply(["spec": ["strategy": ["$retainKeys": ["type"], "type": "Recreate"]]])
        #expect(result["spec", "strategy"] == ["type": "Recreate"])
        #expect(throws: StatusError.self) {
            try apply(["spec": ["strategy": ["$retainKeys": ["x"], "type": "Recreate"]]])
        }
    }

    @Test func mergesPrimitiveListsAsSets() throws {
        let added = try apply(["metadata": ["finalizers": ["y", "z"]]])
        #expect(added["metadata", "finalizers"] == ["x", "y", "z"])
        let removed = try apply(["metadata": ["$deleteFromPrimitiveList/finalizers": ["x"], "finalizers": ["w"]]])
        #expect(removed["metadata", "finalizers"] == ["y", "w"])
    }

    @Test func setsTheOrderOfElements() throws {
        var patch = containers([["name": "new", "image": "n"]])
        patch["spec", "template", "spec", "$setElementOrder/containers"] = [
            ["name": "new"], ["name": "side"], ["name": "web"],
        ]
        #expect(containers(of: try apply(patch)).map { $0["name"] } == ["new", "side", "web"])
    }

    @Test func keepsUnnamedElementsBehindTheirNeighbour() throws {
        var patch = containers([])
        patch["spec", "template", "spec", "containers"] = nil
        patch["spec", "template", "spec", "$setElementOrder/containers"] = [["name": "web"]]
        #expect(containers(of: try apply(patch)).map { $0["name"] } == ["web", "side"])
    }

    static let wrongPatches: [JSON] = [
        ["spec": ["$patch": "grow"]], "x", ["metadata": ["$deleteFromPrimitiveList/finalizers": "x"]],
        ["spec": ["template": ["spec": ["containers": [["image": "no name"]]]]]],
    ]

    @Test(arguments: wrongPatches)
    func refuses(_ patch: JSON) {
        let error = #expect(throws: StatusError.self) { try apply(patch) }
        #expect(error?.code == 400)
    }
}

// swift-tools-version: 6.2

import Foundation
import PackageDescription

// One target per room of docs/architecture.md. Dependencies point one way; Tests/ArchitectureTests compares this graph
// with the checked-in allow-list, so that nothing above the cluster client ever imports the engine.

let warningsAreErrors = ProcessInfo.processInfo.environment["SAMPAN_WARNINGS_AS_ERRORS"] == "1"

let settings: [SwiftSetting] =
    [
        .swiftLanguageMode(.v6),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ] + (warningsAreErrors ? [.treatAllWarnings(as: .error)] : [])

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let asyncHTTPClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let collections = Target.Dependency.product(name: "OrderedCollections", package: "swift-collections")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let serviceLifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let subprocess = Target.Dependency.product(name: "Subprocess", package: "swift-subprocess")
let system = Target.Dependency.product(name: "SystemPackage", package: "swift-system")
let x509 = Target.Dependency.product(name: "X509", package: "swift-certificates")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

/// Names a room whose tests are built alone: with the optimizer or a sanitizer; see Scripts/test-optimized and Scripts/test-sanitized.
let onlyRoom = ProcessInfo.processInfo.environment["SAMPAN_ONLY_ROOM"]

func room(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource]? = nil) -> Target {
    .target(name: name, dependencies: dependencies, resources: resources, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .testTarget(
        name: "\(name)Tests",
        dependencies: [.byName(name: name), "TestKit"] + dependencies,
        swiftSettings: settings
    )
}

let package = Package(
    name: "sampan",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-async-algorithms.git", from: "1.1.4"),
        .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-collections.git", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0"),
        .package(url: "https://github.com/apple/swift-system.git", from: "1.8.1"),
        .package(url: "https://github.com/groue/GRDB.swift.git", from: "7.10.0"),
        .package(url: "https://github.com/grpc/grpc-swift-2.git", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport.git", from: "2.9.2"),
        .package(url: "https://github.com/grpc/grpc-swift-protobuf.git", from: "2.4.1"),
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client.git", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess.git", from: "1.0.2"),
    ],
    targets: [
        // The model and the only door to a cluster.
        room("KubernetesModel", [collections]),
        room(
            "KubernetesClient",
            ["KubernetesModel", asyncHTTPClient, nioCore, nioSSL, nioHTTP1, logging, yams, serviceLifecycle]
        ),

        // Engine: the embedded one-machine Kubernetes.
        room(
            "APIServer",
            [
                "KubernetesModel", "KubernetesClient", hummingbird, hummingbirdCore,
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                grdb, httpTypes, nioCore, nioPosix, nioHTTP1, nioSSL, logging, serviceLifecycle, crypto, x509,
                .product(name: "SwiftASN1", package: "swift-asn1"), yams,
            ]
        ),
        room("Controllers", ["KubernetesModel", "KubernetesClient", crypto, logging, serviceLifecycle]),
        room("Scheduler", ["KubernetesModel", "KubernetesClient", logging, serviceLifecycle]),
        room(
            "NodeAgent",
            [
                "KubernetesModel", "KubernetesClient", asyncHTTPClient, crypto, logging, nioCore, nioHTTP1, nioPosix,
                nioSSL,
                serviceLifecycle, subprocess, system,
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCNIOTransportHTTP2", package: "grpc-swift-nio-transport"),
                .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ]
        ),
        room(
            "ServiceNetwork",
            ["KubernetesModel", "KubernetesClient", logging, nioCore, nioPosix, serviceLifecycle, subprocess, system]
        ),

        // Forge: development.
        room("Git", [hummingbird, httpTypes, logging, nioCore, subprocess, system]),
        room(
            "Review",
            [
                "Git", grdb, hummingbird, httpTypes, logging, nioCore, crypto, serviceLifecycle, system,
                .product(name: "CryptoExtras", package: "swift-crypto"),
            ]
        ),
        room("Registry", [crypto, hummingbird, httpTypes, logging, nioCore, nioPosix, system]),
        room(
            "Pipelines",
            [
                "Git", "Review", "KubernetesModel", "KubernetesClient", grdb, hummingbird, httpTypes, logging, nioCore,
                serviceLifecycle, subprocess, system, yams, crypto,
            ]
        ),
        room(
            "Releases",
            [
                "Git", "Review", "Pipelines", "KubernetesModel", "KubernetesClient", grdb, hummingbird, httpTypes,
                logging, nioCore, nioPosix,
                serviceLifecycle, subprocess, system, yams, crypto,
            ]
        ),

        // Traffic: surge protection.
        .target(name: "CLinux", publicHeadersPath: "include"),
        .systemLibrary(name: "COpenSSL", providers: [.apt(["libssl-dev"])]),
        room("FlowControl", []),
        room(
            "Gateway",
            [
                "CLinux", "COpenSSL", "FlowControl", "KubernetesModel", "KubernetesClient", hummingbird, logging,
                nioCore, nioPosix, serviceLifecycle, system, yams,
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ]
        ),

        room("LoadTesting", ["CLinux", "COpenSSL", yams]),

        // The machine beneath: the home folder, programs that outlive the server, what a machine must have.
        room("Host", ["CLinux", logging, serviceLifecycle, system]),

        // The program: it wires, and nothing else.
        .executableTarget(
            name: "sampan",
            dependencies: [
                "CLinux", "KubernetesModel", "KubernetesClient", "APIServer", "Controllers", "Scheduler", "NodeAgent",
                "ServiceNetwork",
                "Git", "Review", "Registry", "Pipelines", "Releases", "Gateway", "LoadTesting", "Host",
                argumentParser, asyncHTTPClient, crypto, httpTypes, hummingbird, logging, nioCore, nioHTTP1,
                serviceLifecycle,
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                subprocess, system,
            ],
            swiftSettings: settings
        ),

        .target(
            name: "TestKit",
            dependencies: [
                "KubernetesModel", "KubernetesClient", asyncHTTPClient, logging, nioCore, subprocess, system,
            ],
            path: "Tests/TestKit",
            swiftSettings: settings
        ),
        tests("KubernetesModel"),
        tests(
            "KubernetesClient",
            [
                hummingbird, .product(name: "HummingbirdTLS", package: "hummingbird"), logging, nioCore, nioSSL,
                subprocess,
            ]
        ),
        tests("APIServer"),
        tests("Controllers", [logging]),
        tests("Scheduler", [logging]),
        tests(
            "NodeAgent",
            [
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCNIOTransportHTTP2", package: "grpc-swift-nio-transport"),
                .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
                nioCore,
            ]
        ),
        tests("ServiceNetwork"),
        tests("Git", [hummingbird, httpTypes, logging, nioCore, subprocess, system]),
        tests(
            "Review",
            ["Git", asyncHTTPClient, grdb, hummingbird, httpTypes, logging, nioCore, nioHTTP1, subprocess, system]
        ),
        tests(
            "Registry",
            [asyncHTTPClient, crypto, hummingbird, httpTypes, logging, nioCore, nioHTTP1, subprocess, system]
        ),
        tests(
            "Pipelines",
            ["Git", "Review", httpTypes, hummingbird, logging, nioCore, serviceLifecycle, subprocess, system]
        ),
        tests(
            "Releases",
            [
                "Git", "Registry", "Review", "Pipelines", "KubernetesModel", "KubernetesClient", asyncHTTPClient,
                httpTypes, hummingbird, logging, nioCore, nioHTTP1, subprocess, system,
            ]
        ),
        // Counts what a thread allocates, for tests that bound it, and explains Swift's locks to the thread sanitizer.
        .target(name: "AllocationCounter", path: "Tests/AllocationCounter", publicHeadersPath: "include"),
        tests("FlowControl", ["AllocationCounter"]),
        tests("Gateway", ["AllocationCounter", "CLinux", "COpenSSL", "FlowControl", logging]),
        tests("LoadTesting", ["AllocationCounter", "CLinux"]),
        tests("Host"),
        .testTarget(name: "ArchitectureTests", dependencies: ["TestKit"], swiftSettings: settings),
        .testTarget(
            name: "EndToEndTests",
            dependencies: ["TestKit", asyncHTTPClient, subprocess],
            path: "Tests/EndToEnd",
            swiftSettings: settings
        ),
    ]
)

if let onlyRoom { keepOnly("\(onlyRoom)Tests", of: package, testable: onlyRoom) }

/// Leaves one target and what it needs, and lets tests see the inside of `testable` in a release build.
func keepOnly(_ name: String, of package: Package, testable: String) {
    var needed: Set = [name]
    while true {
        let more = package.targets.filter { needed.contains($0.name) }.flatMap(\.dependencies).compactMap { each in
            switch each {
            case .byNameItem(let name, _), .targetItem(let name, _): name
            default: nil
            }
        }
        guard !needed.isSuperset(of: more) else { break }
        needed.formUnion(more)
    }
    package.targets.removeAll { !needed.contains($0.name) }
    for target in package.targets {
        if target.name == testable { target.swiftSettings?.append(.unsafeFlags(["-enable-testing"])) }
        // What is measured is the room; its tests take minutes less this way.
        if target.name == name { target.swiftSettings?.append(.unsafeFlags(["-Onone"])) }
    }
}

import Glibc

func check(_ condition: Bool, _ name: String) {
    print(condition ? "ok      \(name)" : "FAILED  \(name)")
    if !condition { exit(1) }
}

let catalog = Catalog()
check(catalog.response(method: "GET", path: "/healthz").body == "ok\n", "health is answered")
check(catalog.response(method: "GET", path: "/products").body.contains("¥6.90"), "prices have two decimals")
check(catalog.response(method: "POST", path: "/").status.hasPrefix("405"), "only reading is allowed")
check(catalog.response(method: "GET", path: "/none").status.hasPrefix("404"), "unknown paths are not found")

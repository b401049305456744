import Drift
import Foundation

/// The library's message about a failed call.
struct DriftError: Error {
    let status: UInt32
    let message: String
}

private func check(_ status: DriftStatus) throws {
    if UInt32(status) != 0 {
        throw DriftError(status: UInt32(status), message: String(cString: drift_last_error()))
    }
}

/// The bundle of the demo model, loaded on the best device. Used by one thread at a time.
final class Model {
    static let names = ["circle", "ring", "square", "triangle", "cross", "star", "stripes", "dots"]

    let device: String
    private var session: OpaquePointer?

    init(path: String, cache: String) throws {
        var bundle: OpaquePointer?
        try check(drift_bundle_open(path, &bundle))
        defer { drift_bundle_free(bundle) }
        var device: OpaquePointer?
        try check(drift_device_best(bundle, &device))
        defer { drift_device_free(device) }

        var name = [UInt8](repeating: 0, count: 256)
        var length = 0
        try check(drift_device_name(device, &name, name.count, &length))
        self.device = String(decoding: name.prefix(length), as: UTF8.self)
        // bundle and device may go: a session keeps what it needs
        try cache.withCString { folder in
            var options = DriftLoadOptions(variant: nil, cache_dir: folder, no_cache: false)
            try check(drift_session_create(device, bundle, &options, &session))
        }
    }

    deinit {
        drift_session_free(session)
    }

    /// `pixels`: 32 x 32, 0 to 255, row by row. Gives the class and its logit.
    func classify(_ pixels: [Float]) throws -> (String, Float) {
        let shape: [UInt64] = [1, 1, 32, 32]
        try pixels.withUnsafeBytes { bytes in
            let data = bytes.bindMemory(to: UInt8.self).baseAddress
            try check(
                drift_session_set_input(session, "picture", 1 /* f32 */, shape, 4, data, bytes.count))
        }
        try check(drift_session_run(session))
        var logits = [Float](repeating: 0, count: Model.names.count)
        try logits.withUnsafeMutableBytes { bytes in
            let data = bytes.bindMemory(to: UInt8.self).baseAddress
            try check(drift_session_get_output(session, "logits", data, bytes.count, nil))
        }
        let best = logits.indices.max { logits[$0] < logits[$1] } ?? 0
        return (Model.names[best], logits[best])
    }
}

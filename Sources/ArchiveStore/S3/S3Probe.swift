import FoundationEssentials
import HostIO
import S3

extension S3Objects {
    /// The names of the objects that are tried; always the same, so that no more of them are left where they can't be deleted.
    private static let probeName = "probe"
    private static let badProbeName = "probe-damaged"

    /// Finds out what the server does of what is asked of it, by two small objects below a prefix.
    ///
    /// A server that knows neither conditions nor checksums answers as if it had done what was asked.
    ///
    /// - Throws: ``ObjectError`` if nothing can be written there.
    public func probe(below prefix: String) throws -> [StoreTrait] {
        let key = prefix + Self.probeName
        let badKey = prefix + Self.badProbeName
        defer {
            // Who may not delete leaves them, and finds them next time.
            _ = try? remove([key, badKey])
        }
        return try translating {
            [try conditionTrait(key), try checksumTrait(badKey), try readTrait(key), listTrait(prefix)]
                + [try lockTrait(), versionTrait()].compactMap(\.self)
        }
    }

    private func writeProbe(_ key: String, _ payload: S3Request.Payload, _ condition: S3WriteCondition?) throws -> Bool
    {
        do {
            let put = PutObject(
                try self.key(key), payload, condition: condition,
                attributes: S3WriteAttributes(encryption: settings.encryption),
                sendsChecksum: settings.sendsChecksums)
            _ = try connection.send(put)
            return true
        } catch let error as S3Error where error.isPreconditionFailure {
            return false
        }
    }

    private func conditionTrait(_ key: String) throws -> StoreTrait {
        guard settings.createsConditionally else {
            _ = try writeProbe(key, .bytes(Array("{}".utf8)), nil)
            return StoreTrait("it is not asked to write only where nothing is (conditionalWrites is false)")
        }
        let payload = S3Request.Payload.bytes(Array("{}".utf8))
        do {
            // The first may find what an earlier look has left.
            for _ in 0..<2 where try !writeProbe(key, payload, .absent) {
                return StoreTrait("it writes only where nothing is, when it is asked to")
            }
        } catch let error as S3Error where error.status == 501 {
            _ = try writeProbe(key, payload, nil)
            return StoreTrait(
                "it knows no conditional writes, and is asked whether something is there before each instead",
                advice: "set conditionalWrites to false, and each run asks once less")
        }
        return StoreTrait(
            "it replaces what is there though it is asked not to, and says nothing of that", isFault: true,
            advice: "set conditionalWrites to false: then it is asked before each write, where that is allowed")
    }

    private func checksumTrait(_ key: String) throws -> StoreTrait {
        guard settings.sendsChecksums else { return StoreTrait("it is sent no checksums (checksums is false)") }
        do {
            // The digest of other bytes.
            let put = PutObject(
                try self.key(key), .bytes(Array("{}".utf8)),
                attributes: S3WriteAttributes(encryption: settings.encryption), sendsChecksum: false)
            _ = try connection.send(DamagedPut(put))
        } catch let error as S3Error where error.status == 400 {
            return StoreTrait("it refuses bytes that do not have their checksum")
        }
        return StoreTrait(
            "it does not look whether bytes have their checksum: damage on the way shows only when a backup is read",
            isFault: true, advice: "have backups verified as far as stored, which reads them back")
    }

    /// The SHA-256 of no bytes in base64.
    private static let digestOfOtherBytes = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

    /// A write with the checksum of other bytes.
    private struct DamagedPut: S3Operation {
        let put: PutObject

        init(_ put: PutObject) { self.put = put }

        var request: S3Request {
            var request = put.request
            request.headers["x-amz-checksum-sha256"] = digestOfOtherBytes
            return request
        }

        func output(of response: S3Response) throws(S3Error) { _ = try put.output(of: response) }
    }

    private func readTrait(_ key: String) throws -> StoreTrait {
        do {
            _ = try bytes(of: key, limit: 1 << 10)
            return StoreTrait("this host may read what it has written")
        } catch let error as ObjectError where error.kind == .denied {
            return StoreTrait("this host may not read what it has written: backups are verified while they stream")
        }
    }

    private func listTrait(_ prefix: String) -> StoreTrait {
        do {
            _ = try objects(below: prefix, behind: nil)
            return StoreTrait("this host may list what is there")
        } catch {
            return StoreTrait("this host may not list what is there: it remembers the number of its last backup itself")
        }
    }

    private func lockTrait() throws -> StoreTrait? {
        do {
            let lock = try connection.send(GetObjectLockConfiguration())
            guard lock.isEnabled else {
                guard settings.lock == nil else {
                    return StoreTrait(
                        "objects of this bucket can't be locked, and are to be", isFault: true,
                        advice: "make a bucket with object lock, or take out the lock")
                }
                return StoreTrait("objects of this bucket can't be locked")
            }
            guard let retention = lock.defaultRetention else {
                return StoreTrait("objects of this bucket can be locked, and are when a backup asks for it")
            }
            let period =
                switch retention.period {
                case .days(let days): "\(days) days"
                case .years(let years): "\(years) years"
                }
            return StoreTrait(
                "new objects of this bucket are locked for \(period) (\(retention.mode.rawValue.lowercased()))")
        } catch is S3Error {
            // Who may not ask, or whose server has none.
            return nil
        }
    }

    private func versionTrait() -> StoreTrait? {
        guard let versioning = try? connection.send(GetBucketVersioning()) else { return nil }
        switch versioning {
        case .off: return StoreTrait("the bucket keeps no versions: what is deleted is gone")
        case .suspended: return StoreTrait("the bucket keeps versions no more, and has those that it kept")
        case .enabled:
            return StoreTrait("the bucket keeps versions: deleting a backup removes all of them, where that is allowed")
        }
    }
}

import Foundation
import TestSupport
import Testing

extension Integration {
    /// Anybody can seal an archive for a public key: what is in one must not reach outside its target.
    @Suite struct HostileArchiveTests {
        private let store: TestStore
        private let base: String
        private let outside: String

        init() throws {
            store = try TestStore(Laboratory.shared().server(.v3_4))
            let archive = try store.makeBackup()
            base = store.directory.file("base.tar")
            try SnapTool.run(["unseal", archive, "-i", store.key.path]).output.write(to: URL(fileURLWithPath: base))
            outside = store.directory.file("outside")
            try run("mkdir", [outside])
            try "precious".write(toFile: "\(outside)/victim", atomically: false, encoding: .utf8)
        }

        /// An archive of our own layout, with manifest and seek table, and these members more.
        private func archive(_ members: [[String]]) throws -> String {
            let path = store.directory.file("hostile.tar.zst.age")
            let list = String(decoding: try JSONSerialization.data(withJSONObject: members), as: UTF8.self)
            try run("python3", ["-c", Self.builder, base, path, store.key.recipient, list])
            return path
        }

        private func restore(_ archive: String) throws -> CommandResult {
            try SnapTool.attempt(["restore", archive, "-i", store.key.path, "--target", store.directory.file("target")])
        }

        private func expectUntouched(_ what: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
            let manager = FileManager.default
            #expect(
                try manager.contentsOfDirectory(atPath: outside) == ["victim"], "\(what)",
                sourceLocation: sourceLocation)
            let victim = try String(contentsOfFile: "\(outside)/victim", encoding: .utf8)
            #expect(victim == "precious", "\(what)", sourceLocation: sourceLocation)
            #expect(try manager.attributesOfItem(atPath: "\(outside)/victim")[.referenceCount] as? Int == 1)
        }

        /// Without this the refusals below would mean nothing.
        @Test func aHarmlessOneIsRestored() throws {
            let result = try restore(
                archive([
                    ["dir", "files"], ["file", "files/a"], ["symlink", "files/l", outside],
                    ["hardlink", "files/h", "files/a"],
                ]))
            #expect(result.status == 0, "\(result.errorText)")
            let target = store.directory.file("target")
            #expect(try String(contentsOfFile: "\(target)/files/h", encoding: .utf8) == "evil")
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "\(target)/files/l") == outside)
            try expectUntouched("harmless")
        }

        @Test func whatLeadsOutsideIsRefused() throws {
            let link = ["symlink", "files/l", outside]
            let hostile: [(String, [[String]])] = [
                ("dotdot", [["file", "files/../../outside/new"]]),
                ("dotdot at the start", [["file", "../outside/new"]]),
                ("absolute", [["file", "\(outside)/new"]]),
                ("file through a link", [link, ["file", "files/l/new"]]),
                ("directory through a link", [link, ["dir", "files/l/new"]]),
                ("file in place of a link", [["symlink", "files/l", "\(outside)/victim"], ["file", "files/l"]]),
                ("directory in place of a link", [link, ["dir", "files/l"], ["file", "files/l/new"]]),
                ("hard link to the outside", [["hardlink", "files/h", "../outside/victim"]]),
                ("absolute hard link", [["hardlink", "files/h", "\(outside)/victim"]]),
                ("hard link through a link", [link, ["hardlink", "files/h", "files/l/victim"]]),
                ("link through a link", [link, ["symlink", "files/l/new", "x"]]),
                ("device", [["device", "files/null"]]),
                ("pipe", [["fifo", "files/pipe"]]),
                ("twice", [["file", "files/a"], ["file", "files/a"]]),
                ("file as a directory", [["file", "files/a"], ["file", "files/a/b"]]),
                ("the manifest twice", [["file", "manifest.json"]]),
            ]
            for (what, members) in hostile {
                let result = try restore(archive(members))
                #expect([1, 7].contains(result.status), "\(what): \(result.status) \(result.errorText)")
                expectFailure(result, result.status, hasHint: result.errorText.contains("hint: "))
                let left = try FileManager.default.contentsOfDirectory(atPath: store.directory.path)
                #expect(Set(left) == ["base.tar", "hostile.tar.zst.age", "outside", "store"], "\(what)")
                try expectUntouched(what)
            }
        }

        /// A tar of somebody else is no archive of ours; `unseal` opens it, for the user's own tar to judge.
        @Test func aForeignTarIsNotRestored() throws {
            let sealed = store.directory.file("foreign.tar.zst.age")
            let tar = try shell("tar c -C \"$1\" -P --transform 's,^,../,' victim", outside).output
            try shell("zstd -c | age -r \"$1\" >\"$2\"", store.key.recipient, sealed, input: tar)
            expectFailure(try restore(sealed), 7, naming: sealed)
            #expect(!FileManager.default.fileExists(atPath: store.directory.file("target")))
            #expect(try SnapTool.run(["unseal", sealed, "-i", store.key.path]).output == tar)
        }

        private static let builder = """
            import hashlib, io, json, struct, subprocess, sys, tarfile
            base, path, recipient, members = sys.argv[1:4] + [json.loads(sys.argv[4])]
            types = dict(file=b'0', dir=b'5', symlink=b'2', hardlink=b'1', device=b'3', fifo=b'6')
            kinds = dict(file='file', dir='directory', symlink='symbolicLink', hardlink='hardLink')
            body = io.BytesIO()
            source = tarfile.open(base)
            manifest = json.load(source.extractfile('manifest.json'))
            out = tarfile.open(fileobj=body, mode='w', format=tarfile.PAX_FORMAT)
            def add(info, data):
                out.addfile(info, io.BytesIO(data))
                return body.tell() - (len(data) + 511) // 512 * 512
            for entry in manifest['entries']:
                info = source.getmember(entry['path'])
                entry['offset'] = add(info, source.extractfile(info).read() if info.isreg() else b'')
            for kind, name, *link in members:
                info = tarfile.TarInfo(name)
                info.type, info.mode = types[kind], 0o755 if kind == 'dir' else 0o644
                if link: info.linkname = link[0]
                data = b'evil' if kind == 'file' else b''
                info.size = len(data)
                entry = dict(path=name, kind=kinds.get(kind, 'file'), role='include', source='/' + name, size=len(data),
                    mode='0%o' % info.mode, owner='0:0', modifiedAt='1970-01-01T00:00:00Z', offset=add(info, data))
                if kind == 'file': entry['sha256'] = hashlib.sha256(data).hexdigest()
                if link: entry['linkTarget'] = link[0]
                manifest['entries'].append(entry)
            data = json.dumps(manifest).encode()
            info = tarfile.TarInfo('manifest.json')
            info.size = len(data)
            offset = add(info, data)
            out.close()
            plain = body.getvalue()
            open(path + '.tmp', 'wb').write(plain)
            packed = subprocess.run(['zstd', '-qc', path + '.tmp'], check=True, capture_output=True).stdout
            skippable = lambda magic, content: struct.pack('<II', magic, len(content)) + content
            locator = skippable(0x184D2A5D, b'esnapmf1' + struct.pack('<QQ', offset, len(data)) + hashlib.sha256(data).digest())
            frames = [(len(packed), len(plain)), (len(locator), 0)]
            table = b''.join(struct.pack('<II', *f) for f in frames) + struct.pack('<IBI', len(frames), 0, 0x8F92EAB1)
            import os; os.remove(path + '.tmp')
            subprocess.run(['age', '-r', recipient, '-o', path], input=packed + locator + skippable(0x184D2A5E, table), check=True)
            """
    }
}

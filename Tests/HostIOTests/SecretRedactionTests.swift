import HostIO
import Testing

/// What is printed has no secret in it, wherever someone wrote one.
@Suite struct SecretRedactionTests {
    @Test(arguments: [
        ("no file \"AGE-SECRET-KEY-1QQPZRY9X8GF2\" here", "no file \"AGE-SECRET-KEY-…\" here"),
        ("age-secret-key-pq-1abc, AGE-SECRET-KEY-1Z", "age-secret-key-…, AGE-SECRET-KEY-…"),
        ("begins with AGE-SECRET-KEY-", "begins with AGE-SECRET-KEY-"),
        ("\"sftp://u:pass@h/x\" looks", "\"sftp://u:…@h/x\" looks"),
        ("m=https://u:p@ss:w@h:2380,n=https://h:2380", "m=https://u:…@h:2380,n=https://h:2380"),
        ("https://h:2379/a:b@c and http://user@h", "https://h:2379/a:b@c and http://user@h"),
        ("https://[::1]:2379, plain text: a@b", "https://[::1]:2379, plain text: a@b"),
    ])
    func secretsAreLeftOut(_ text: String, _ shown: String) { #expect(withoutSecrets(text) == shown) }
}

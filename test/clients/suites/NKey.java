package io.nats.client;

/** Replaces the keys of the NATS client: Debian has no library for them, and the tests do not use them. */
public class NKey {
    public static NKey fromSeed(char[] seed) {
        throw new UnsupportedOperationException();
    }

    public void clear() {}

    public char[] getPublicKey() throws java.security.GeneralSecurityException, java.io.IOException {
        throw new UnsupportedOperationException();
    }

    public byte[] sign(byte[] input) throws java.security.GeneralSecurityException, java.io.IOException {
        throw new UnsupportedOperationException();
    }
}

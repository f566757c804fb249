/** A signature algorithm, as in the `alg` of a JWK and of a token (RFC 7518 §3.1, RFC 8037 §3.1). */
export type KeyAlgorithm = 'RS256' | 'RS384' | 'RS512' | 'ES256' | 'ES384' | 'ES512' | 'EdDSA'

/** A key as `/jwks` publishes it (RFC 7517), with these members only. Binary values are base64url. */
export interface PublicJwk {
  kty: 'RSA' | 'EC' | 'OKP'
  /** RSA: modulus and exponent. */
  n?: string
  e?: string
  /** EC and OKP: curve and coordinates. */
  crv?: string
  x?: string
  y?: string
  /** Names the key in the header of a token. */
  kid: string
  alg: KeyAlgorithm
  use: 'sig'
}

/** A signing key: a `PublicJwk` with its secret members, `d` and for RSA also primes, exponents and coefficient. */
export interface PrivateJwk extends PublicJwk, Partial<Record<'p' | 'q' | 'dp' | 'dq' | 'qi', string>> { d: string }

/** A JWK as base64, as JSON text or as an object, or PEM. */
export type KeySource = string | object

/** What `generateKeys` takes. */
export interface GenerateKeysOptions {
  /** Default: `RS256`. */
  algorithm?: KeyAlgorithm | undefined
  /** Names the pair in tokens. Default: its RFC 7638 thumbprint. */
  kid?: string | undefined
}

/** A pair, in both of its forms. */
export interface GeneratedKeys {
  publicKey: PublicJwk
  privateKey: PrivateJwk
  /** Base64 of the JWK as JSON, for `POWERSYNC_PUBLIC_KEY`. */
  publicKeyBase64: string
  /** Base64 of the JWK as JSON, for `POWERSYNC_PRIVATE_KEY`. */
  privateKeyBase64: string
}

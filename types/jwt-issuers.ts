import type { FastifyRequest } from 'fastify'
import type { KeyAlgorithm } from './keys.js'
import type { Identity } from './hooks.js'

/** The payload of a token that was verified. */
export type TokenClaims = Record<string, unknown>

/** An identity provider, or one tenant, realm, user pool or project of it. */
export interface Issuer {
  /** Exactly what its tokens have as `iss`, with or without a `/` at the end. */
  issuer: string
  /** Where its keys are. Default: what its `/.well-known/openid-configuration` says. */
  jwksUri?: string | undefined
  /** As for all issuers, in their place. */
  audience?: string | readonly string[] | undefined
  claims?: Readonly<Record<string, string | readonly string[]>> | undefined
}

/** The function of the package get-jwks that is called, and no other. */
export interface GetJwks {
  getJwk (signature: { domain: string, alg: string, kid: string | undefined }): Promise<object> | object
}

/** Which identity providers sign users in, for whom their tokens are meant, and what makes a user of a token. */
export interface JwtIssuersOptions {
  /** Whose tokens count; those of anybody else are refused before anything is fetched. */
  issuers: string | Issuer | ReadonlyArray<string | Issuer>
  /**
   * What a token must have as `aud`, or one of it. Only if the provider puts none into its tokens may it be left out,
   * with `claims` in its place.
   */
  audience?: string | readonly string[] | undefined
  /** Further claims that a token must have: name → value, or one of several. */
  claims?: Readonly<Record<string, string | readonly string[]>> | undefined
  /** Signature algorithms. Default: RS256, ES256 and EdDSA. */
  algorithms?: readonly KeyAlgorithm[] | undefined
  /**
   * Who the user is: the name of a claim (default `sub`), or a function. Text is the user's id, beside which the user
   * has the token's claims; null is nobody. Required where there are several issuers, which may use one id for two
   * people.
   */
  userId?:
    | string
    | ((claims: TokenClaims, request: FastifyRequest) => string | Identity | null | Promise<string | Identity | null>)
    | undefined
  /** Where the token is. Default: the `Authorization: Bearer` header. */
  token?: ((request: FastifyRequest) => string | null | undefined) | undefined
  /** Seconds by which the clocks of issuer and server may differ, 0 to 300. Default 60, as in the PowerSync Service. */
  clockTolerance?: number | undefined
  /**
   * Seconds. `maxAge`: how long an issuer's keys are used before they are fetched again, 60 to 86 400; default 600.
   * `cooldown`: how long after that an unknown key id is refused without another fetch, 1 to 600; default 30.
   */
  cache?: { maxAge?: number | undefined, cooldown?: number | undefined } | undefined
  /** Milliseconds that fetching an issuer's keys may take, 100 to 60 000. Default 5 000. */
  timeout?: number | undefined
  /**
   * The host's own get-jwks, `buildGetJwks({ … })`, to take the keys from. Default: they are fetched by this package.
   */
  getJwks?: GetJwks | undefined
}

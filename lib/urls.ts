/**
 * Whether nobody on the network can read or change requests to a URL: it is https, or can only lead to this machine
 * (RFC 6761 §6.3, RFC 1122 §3.2.1.3, RFC 4291 §2.5.3).
 */
export const isProtected = ({ protocol, hostname }: URL): boolean => protocol === 'https:' ||
  (protocol === 'http:' && /^(?:(?:.+\.)?localhost|127(?:\.\d+){3}|\[::1\])$/.test(hostname))

/** A name for SQL. Always quoted: `order`, `group` or `user` are names that columns have and words of SQL. */
export const quote = (name: string) => `"${name.replaceAll('"', '""')}"`

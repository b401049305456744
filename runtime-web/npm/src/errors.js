/** What went wrong, with a `code` to act on; the codes are listed in drift.d.ts. */
export class DriftError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.name = 'DriftError';
    this.code = code;
  }
}

/** Passes errors of this package on and wraps all others. */
export function wrapped(error, code, what) {
  if (error instanceof DriftError || error?.name === 'AbortError') return error;
  return new DriftError(code, `${what}: ${error?.message ?? error}`, { cause: error });
}

export function assert(condition, code, message) {
  if (!condition) throw new DriftError(code, message);
}

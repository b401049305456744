// Tests report line by line to the server that served them, and to the page.

const page = document.getElementById('report');

export async function report(line) {
  page.textContent += `${line}\n`;
  await fetch('/report', { method: 'POST', body: line });
}

/** Runs one test; what it returns is a note on the line. */
export async function test(name, run) {
  const begun = performance.now();
  try {
    const note = await run();
    const ms = Math.round(performance.now() - begun);
    await report(`ok ${name}${note ? `: ${note}` : ''} (${ms} ms)`);
  } catch (error) {
    const what = `${error.code ?? error.name}: ${error.message}`.replaceAll('\n', ' | ');
    await report(`FAIL ${name}: ${what} ${(error.stack ?? '').split('\n').slice(1, 4).join(' | ')}`);
  }
}

export function equal(have, want, what = 'value') {
  const [a, b] = [JSON.stringify(have), JSON.stringify(want)];
  if (a !== b) throw new Error(`${what} is ${a}, expected ${b}`);
}

export function check(condition, what) {
  if (!condition) throw new Error(what);
}

/** Runs `work`, which must fail with this code; gives the error. */
export async function fails(code, work) {
  let done;
  try {
    done = await work();
  } catch (error) {
    equal(error.code, code, `code of "${error.message}"`);
    check(error.name === 'DriftError', 'it is a DriftError');
    return error;
  }
  done?.dispose?.();
  throw new Error(`nothing failed, expected ${code}`);
}

const NUMPY = {
  '<f4': Float32Array, '<f8': Float64Array, '|i1': Int8Array, '|u1': Uint8Array, '|b1': Uint8Array,
  '<i2': Int16Array, '<u2': Uint16Array, '<i4': Int32Array, '<u4': Uint32Array,
  '<i8': BigInt64Array, '<u8': BigUint64Array,
};

/** Elements of a .npy file, in C order. */
export async function numpy(url) {
  const response = await fetch(url);
  check(response.ok, `${url}: ${response.status}`);
  const bytes = await response.arrayBuffer();
  const view = new DataView(bytes);
  const wide = view.getUint8(6) >= 2;
  const start = wide ? 12 + view.getUint32(8, true) : 10 + view.getUint16(8, true);
  const header = new TextDecoder('latin1').decode(new Uint8Array(bytes, 10, start - 10));
  check(!header.includes("'fortran_order': True"), `${url}: not in C order`);
  const Type = NUMPY[/'descr': '([^']+)'/.exec(header)[1]];
  check(Type, `${url}: ${header}`);
  return new Type(bytes.slice(start));
}

/** Largest |a - b| - rtol * |b|; an error where it is above atol. */
export function close(have, want, atol, rtol, what) {
  equal(have.length, want.length, `length of ${what}`);
  let worst = 0;
  for (let i = 0; i < want.length; i++) {
    const [a, b] = [Number(have[i]), Number(want[i])];
    const error = Math.abs(a - b);
    if (!(error <= atol + rtol * Math.abs(b))) {
      throw new Error(`${what}[${i}] is ${a}, expected ${b} (atol ${atol}, rtol ${rtol})`);
    }
    worst = Math.max(worst, error);
  }
  return worst;
}

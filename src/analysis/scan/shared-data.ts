/** Smaller arrays are copied to every thread: each shared one takes some bookkeeping of its own. */
const LEAST_SHARED = 1 << 14;

/**
 * Plain data whose large typed arrays lie in memory that threads share: posting it to any number of threads copies only
 * the rest. Arrays that are views of the same bytes stay so.
 */
export function sharedData<T>(data: T): T {
  return share(data, new Map()) as T;
}

function share(data: unknown, known: Map<ArrayBufferLike, Map<string, unknown>>): unknown {
  if (typeof data !== "object" || data === null) return data;
  if (ArrayBuffer.isView(data)) return sharedView(data as TypedArray, known);
  if (Array.isArray(data)) return data.map((value) => share(value, known));
  if (data instanceof Map) return new Map([...data].map(([key, value]) => [key, share(value, known)]));
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, share(value, known)]));
}

interface TypedArray extends ArrayBufferView {
  readonly length: number;
}
type TypedArrayClass = new (buffer: ArrayBufferLike, offset?: number, length?: number) => TypedArray;

function sharedView(view: TypedArray, known: Map<ArrayBufferLike, Map<string, unknown>>): unknown {
  const { buffer, byteOffset, byteLength, length } = view;
  const ViewArray = view.constructor as TypedArrayClass;
  if (buffer instanceof SharedArrayBuffer || byteLength < LEAST_SHARED) return view;
  const views = known.get(buffer) ?? new Map<string, unknown>();
  known.set(buffer, views);
  const key = `${ViewArray.name} ${byteOffset} ${length}`;
  let copy = views.get(key);
  if (!copy) {
    const shared = new SharedArrayBuffer(byteLength);
    new Uint8Array(shared).set(new Uint8Array(buffer, byteOffset, byteLength));
    copy = new ViewArray(shared);
    views.set(key, copy);
  }
  return copy;
}

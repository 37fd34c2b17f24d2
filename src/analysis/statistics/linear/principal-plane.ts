/** A plane through points of many dimensions that shows most of how they differ. */
export interface PrincipalPlane {
  readonly project: (point: Float64Array) => [x: number, y: number];
  /** Part of the variance along each axis; 0 where the points do not differ at all. */
  readonly explained: [number, number];
}

/** Jacobi's method converges quadratically; real data need about 6 sweeps. */
const MAX_SWEEPS = 50;

/**
 * The first two principal components (Pearson, Phil. Mag. 2, 1901) of points with `width` coordinates each. Axes point
 * to where their largest coefficient is positive, so that the same data give the same picture.
 *
 * Time grows with points x width^2 + width^3: meant for some dozens of dimensions.
 */
export function principalPlane(points: readonly Float64Array[], width: number): PrincipalPlane {
  const mean = new Float64Array(width);
  for (const point of points) for (let i = 0; i < width; i++) mean[i]! += point[i]! / points.length;
  const covariance = new Float64Array(width * width);
  for (const point of points)
    for (let i = 0; i < width; i++)
      for (let j = 0; j < width; j++)
        covariance[i * width + j]! += ((point[i]! - mean[i]!) * (point[j]! - mean[j]!)) / points.length;
  const total = Array.from({ length: width }, (_, i) => covariance[i * width + i]!).reduce(
    (a, b) => a + b,
    0,
  );
  const { values, vectors } = symmetricEigen(covariance, width);
  const order = Array.from(values, (_, i) => i).sort((a, b) => values[b]! - values[a]!);
  const axes = [order[0], order[1]].map((k) => axis(vectors, width, k));
  const along = (point: Float64Array, of: Float64Array) =>
    of.reduce((sum, part, i) => sum + part * (point[i]! - mean[i]!), 0);
  const part = (k: number | undefined) => (k === undefined || total === 0 ? 0 : values[k]! / total);
  return {
    project: (point) => [along(point, axes[0]!), along(point, axes[1]!)],
    explained: [part(order[0]), part(order[1])],
  };
}

/** Column `k` of the eigenvectors with its sign settled; no direction where there are fewer dimensions. */
function axis(vectors: Float64Array, width: number, k: number | undefined): Float64Array {
  if (k === undefined) return new Float64Array(width);
  const column = Float64Array.from({ length: width }, (_, i) => vectors[i * width + k]!);
  const largest = column.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
  return largest < 0 ? column.map((value) => -value) : column;
}

/** Eigenvalues and eigenvectors (columns) of a symmetric matrix, by cyclic Jacobi rotations (Golub and Van Loan, 8.5). */
function symmetricEigen(matrix: Float64Array, n: number) {
  const a = matrix.slice();
  const vectors = new Float64Array(n * n);
  for (let i = 0; i < n; i++) vectors[i * n + i] = 1;
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep++) {
    let off = 0;
    let diagonal = 0;
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) {
        if (i === j) diagonal += a[i * n + j]! ** 2;
        else off += a[i * n + j]! ** 2;
      }
    if (off <= 1e-24 * diagonal) break;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) rotate(a, vectors, n, p, q);
  }
  return { values: Float64Array.from({ length: n }, (_, i) => a[i * n + i]!), vectors };
}

/** Rotate in the plane of axes p and q so that a[p, q] becomes 0. */
function rotate(a: Float64Array, vectors: Float64Array, n: number, p: number, q: number): void {
  const apq = a[p * n + q]!;
  if (apq === 0) return;
  const theta = (a[q * n + q]! - a[p * n + p]!) / (2 * apq);
  const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
  const c = 1 / Math.sqrt(t * t + 1);
  const s = t * c;
  for (let k = 0; k < n; k++) {
    const [kp, kq] = [a[k * n + p]!, a[k * n + q]!];
    a[k * n + p] = c * kp - s * kq;
    a[k * n + q] = s * kp + c * kq;
  }
  for (let k = 0; k < n; k++) {
    const [pk, qk] = [a[p * n + k]!, a[q * n + k]!];
    a[p * n + k] = c * pk - s * qk;
    a[q * n + k] = s * pk + c * qk;
  }
  for (let k = 0; k < n; k++) {
    const [vp, vq] = [vectors[k * n + p]!, vectors[k * n + q]!];
    vectors[k * n + p] = c * vp - s * vq;
    vectors[k * n + q] = s * vp + c * vq;
  }
}

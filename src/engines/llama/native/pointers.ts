/** An address in this process. */
export type Pointer = bigint;
/** Address of a `ggml_tensor`; user-space addresses fit a double exactly, and callbacks come by the thousand. */
export type TensorPointer = number;

/** Messages that have come and those to come, for one reader that takes them in order. */
export class Inbox<Message> {
  readonly #waiting: Message[] = [];
  #wake = () => {};

  put(message: Message): void {
    this.#waiting.push(message);
    this.#wake();
  }

  /** The next message, as soon as there is one. */
  async take(): Promise<Message> {
    while (this.#waiting.length === 0)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    return this.#waiting.shift()!;
  }
}

// Tells listeners that something changed; the change itself is read from the machine.

export class Emitter {
  readonly #listeners = new Set<() => void>();

  /** Adds a listener; the result removes it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  emit(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

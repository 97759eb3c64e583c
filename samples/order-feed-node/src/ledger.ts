import { setTimeout as delay } from "node:timers/promises";
import { advance, emptyFeed, keysAround, type Fact, type Feed } from "./feed.js";

/** A key-value store with versions. */
export interface Store {
  read<T>(keys: readonly string[]): Promise<Map<string, { value: T; etag: string }>>;
  /** Writes if the key still is at this version (undefined: if it does not exist); false if it is not. */
  replace(key: string, value: unknown, etag: string | undefined): Promise<boolean>;
  write(keys: readonly string[], value: unknown): Promise<void>;
}

const feedKey = "feed";
const largestBatch = 100;
const mostAttempts = 50;

/**
 * Counts facts into the one document that all replicas share. Not every store takes back half a transaction (Redis does not), so the order of
 * single writes does it: the document takes the fact and names it as open; then the fact gets a record of its own; a later change drops it
 * from the open ones once its record is seen. A replica that dies in between leaves an open fact, which the redelivery finds. Whoever reads the
 * document first and the records second sees every counted fact in one of the two; a document that changed meanwhile refuses the write.
 */
export class Ledger {
  readonly #store: Store;
  readonly #waiting: { fact: Fact; done: () => void; failed: (error: unknown) => void }[] = [];
  #writing = false;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Resolves when the fact is counted for good. Facts that come while another is being written share the next write. */
  count(fact: Fact): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ fact, done, failed });
      if (!this.#writing) void this.#writeAll();
    });
  }

  async feed(): Promise<Feed> {
    return (await this.#read()).feed;
  }

  async #writeAll(): Promise<void> {
    this.#writing = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, largestBatch);
      try {
        await this.#write(batch.map(({ fact }) => fact));
        for (const { done } of batch) done();
      } catch (error) {
        for (const { failed } of batch) failed(error);
      }
    }
    this.#writing = false;
  }

  async #write(facts: readonly Fact[]): Promise<void> {
    for (let attempt = 0; attempt < mostAttempts; attempt++) {
      const { feed, etag } = await this.#read();
      const recorded = await this.#store.read([...new Set([...feed.open, ...facts.flatMap(keysAround)])]);
      const next = advance(feed, new Set(recorded.keys()), facts);
      if (next.feed && !(await this.#store.replace(feedKey, next.feed, etag))) {
        await delay(Math.random() * 20); // another replica was faster
        continue;
      }
      if (next.toRecord.length > 0) await this.#store.write(next.toRecord, true);
      return;
    }
    throw new Error(`The feed changed under every one of ${mostAttempts} attempts.`);
  }

  async #read(): Promise<{ feed: Feed; etag: string | undefined }> {
    const found = (await this.#store.read<Feed>([feedKey])).get(feedKey);
    return { feed: found?.value ?? emptyFeed, etag: found?.etag };
  }
}

// Tells when the machine's way to the network is another one.

/** Calls `changed` when the network is back, or is of another type (Wi-Fi, mobile) where the browser says so. */
export function watchNetwork(changed: () => void, options?: AddEventListenerOptions): void {
  addEventListener("online", changed, options);
  const { connection } = navigator as { connection?: EventTarget & { type?: string } };
  let type = connection?.type;
  connection?.addEventListener(
    "change",
    () => {
      // It is also told of every new estimate of the speed.
      if (type !== (type = connection.type)) changed();
    },
    options,
  );
}

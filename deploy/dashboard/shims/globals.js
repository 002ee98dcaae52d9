// What MQTT.js expects of Node.js, as far as a browser needs it.
export { Buffer } from "buffer";
export const process = {
  env: {},
  version: "",
  nextTick: (task, ...given) => queueMicrotask(() => task(...given)),
};

// MQTT.js can keep time in a worker made from a blob. This page's Content-Security-Policy allows none, and its link asks
// for the browser's own timers.
export const clearInterval = globalThis.clearInterval.bind(globalThis);
export const clearTimeout = globalThis.clearTimeout.bind(globalThis);
export const setInterval = globalThis.setInterval.bind(globalThis);
export const setTimeout = globalThis.setTimeout.bind(globalThis);

// MQTT.js describes each packet to its debug log; nobody reads it here.
const quiet = () => {};
quiet.enabled = false;
module.exports = () => quiet;

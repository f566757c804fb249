#!/usr/bin/env node
import { runProcess } from './run.js'

// Not awaited: Node.js would warn of it where a configuration never ends.
runProcess(process)

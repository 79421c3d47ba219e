// Lets Node import packages that are built for bundlers: modules in .js files, imported without the suffix.

import { register } from 'node:module'

const hooks = `
export const resolve = async (specifier, context, next) => {
  try {
    return await next(specifier, context)
  } catch (error) {
    if (!specifier.startsWith('.')) throw error
    return next(specifier + '.js', context)
  }
}
export const load = (url, context, next) =>
  next(url, url.includes('/stream-client-browser/') ? { ...context, format: 'module' } : context)
`

register(`data:text/javascript,${encodeURIComponent(hooks)}`)

import type { HostLogLevel } from './host-log.ts'

/**
 * What passes between the `@azure/functions` library and its host: the parts of the built-in module
 * `@azure/functions-core` that version 4.16.5 uses. The module is not on npm and publishes no types.
 */

export type RpcTypedData = {
  readonly string?: string
  readonly json?: string
  readonly bytes?: Uint8Array
  readonly int?: number
  readonly double?: number
  readonly http?: RpcHttp
}

type RpcNullableString = { readonly value: string }

export type RpcHttp = {
  readonly method?: string
  readonly url?: string
  readonly nullableHeaders?: Readonly<Record<string, RpcNullableString>>
  readonly nullableQuery?: Readonly<Record<string, RpcNullableString>>
  readonly nullableParams?: Readonly<Record<string, RpcNullableString>>
  readonly body?: RpcTypedData | null
  readonly statusCode?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly cookies?: readonly RpcCookie[]
}

export type RpcCookie = {
  readonly name?: string
  readonly value?: string
  readonly domain?: RpcNullableString | undefined
  readonly path?: RpcNullableString | undefined
  readonly expires?: { readonly value?: { readonly seconds?: number } } | undefined
  readonly secure?: { readonly value: boolean } | undefined
  readonly httpOnly?: { readonly value: boolean } | undefined
  readonly sameSite?: 'none' | 'lax' | 'strict' | 'explicitNone'
  readonly maxAge?: { readonly value: number } | undefined
}

export type RpcRetryContext = {
  readonly retryCount: number
  readonly maxRetryCount: number
  readonly exception?: { readonly message: string; readonly source: string; readonly stackTrace: string }
}

export type RpcInvocationRequest = {
  readonly invocationId: string
  readonly functionId: string
  readonly inputData: readonly { readonly name: string; readonly data: RpcTypedData }[]
  readonly triggerMetadata: Readonly<Record<string, RpcTypedData>>
  readonly traceContext: { readonly traceParent: string; readonly traceState: string; readonly attributes: object }
  readonly retryContext: RpcRetryContext | undefined
}

export type RpcInvocationResponse = { readonly returnValue?: RpcTypedData | null }

export type FunctionCallback = (...args: unknown[]) => unknown

export type LogCategory = 'user' | 'system'

/** The library reads `state` while the invocation goes on, so it is the one field that changes. */
export type CoreInvocationContext = {
  readonly invocationId: string
  readonly metadata: unknown
  readonly request: RpcInvocationRequest
  state: 'preInvocationHooks' | 'invocation' | 'postInvocationHooks' | undefined
  readonly log: (level: HostLogLevel, category: LogCategory, message: string) => void
}

export type InvocationModel = {
  readonly getArguments: () => Promise<{ readonly context: unknown; readonly inputs: unknown[] }>
  readonly invokeFunction: (context: unknown, inputs: unknown[], callback: FunctionCallback) => Promise<unknown>
  readonly getResponse: (context: unknown, result: unknown) => Promise<RpcInvocationResponse>
}

export type ProgrammingModel = {
  readonly name: string
  readonly version: string
  readonly getInvocationModel: (context: CoreInvocationContext) => InvocationModel | Promise<InvocationModel>
  readonly getCapabilities: (capabilities: Record<string, string>) => Promise<Readonly<Record<string, string>>>
}

export const HOOK_NAMES = ['preInvocation', 'postInvocation', 'appStart', 'appTerminate', 'log'] as const
export type HookName = (typeof HOOK_NAMES)[number]

/** A hook may write to its context: `inputs`, `functionCallback`, `result`, `error`, `level`, `message`. */
export type HookCallback = (context: Record<string, unknown>) => unknown
